"""Whether the addresses that brokers advertise lead to them from here.

A client asks a bootstrap address for the brokers and then connects to the addresses that they advertise
(`advertised.listeners`). Where such an address does not resolve or refuses, the first answer comes and every later
request times out without a cause. Knows no Kafka client.
"""

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONNECT_S = 3.0
_FAMILIES = {"v4": socket.AF_INET, "v6": socket.AF_INET6}


@dataclass(frozen=True, slots=True)
class UnreachableBroker:
    """`reason` completes the sentence that begins with the address."""

    broker_id: int
    address: str
    reason: str

    def __str__(self) -> str:
        return f"broker {self.broker_id} advertises {self.address}, which {self.reason}"


def unreachable_brokers(
    brokers: Mapping[int, tuple[str, int]], client_keys: Mapping[str, Any], timeout_s: float = CONNECT_S
) -> list[UnreachableBroker]:
    """Connects to each of them, all at once, and returns those where that fails within `timeout_s`."""
    family = _FAMILIES.get(str(client_keys.get("broker.address.family", "any")), socket.AF_UNSPEC)
    end_s, reasons = time.monotonic() + timeout_s, dict[int, str]()

    def connect(broker_id: int, host: str, port: int) -> None:
        reasons[broker_id] = _reason(host, port, family, end_s)

    threads = []
    for broker_id, (host, port) in brokers.items():
        thread = threading.Thread(target=connect, args=(broker_id, host, port), name="listener", daemon=True)
        thread.start()
        threads.append(thread)
    for thread in threads:  # a resolver can take longer than that, and knows no time-out
        thread.join(max(0.0, end_s - time.monotonic()) + 0.1)
    return [
        UnreachableBroker(broker_id, f"{host}:{port}", reason)
        for broker_id, (host, port) in sorted(brokers.items())
        if (reason := reasons.get(broker_id, "does not resolve in time"))
    ]


def advice(found: list[UnreachableBroker]) -> str:
    """What is wrong and what to do, to follow `Kafka at ADDRESS`."""
    return (
        f"answers, but {'; '.join(map(str, found))}. Correct `advertised.listeners` of the brokers, or make these "
        "addresses reachable from here"
    )


def _reason(host: str, port: int, family: int, end_s: float) -> str:
    """Why none of the host's addresses takes a connection; empty when one does."""
    try:
        places = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except OSError as error:
        return f"does not resolve ({error.strerror or error})"
    except UnicodeError as error:
        return f"is no host name ({error})"
    reason = "has no address"
    for kind, type_, protocol, _, place in places:
        with socket.socket(kind, type_, protocol) as connection:
            connection.settimeout(max(0.1, end_s - time.monotonic()))
            try:
                connection.connect(place)
            except ConnectionRefusedError:
                reason = "refuses connections"
            except TimeoutError:
                reason = "does not answer"
            except OSError as error:
                reason = f"cannot be reached ({error.strerror or error})"
            else:
                return ""
    return reason
