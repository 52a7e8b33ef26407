"""TCP ports on 127.0.0.1 that a server of ours may listen on."""

import random
import socket
from pathlib import Path

from schemas.errors import Unavailable

_PORT_RANGE_FIRST = 15000
_DEFAULT_EPHEMERAL_FIRST = 32768


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the port now.

    SO_REUSEADDR is set as the servers set it, so a connection in TIME_WAIT does not count as taken.
    """
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def find_ports(count: int, taken: set[int] | None = None) -> list[int]:
    """Free ports, none of them in `taken`. Raises Unavailable when there are not enough.

    They lie below the range that the system uses for outgoing connections, so that no client takes the port of a
    server while that restarts.
    """
    found: list[int] = []
    candidates = random.SystemRandom().sample(range(_PORT_RANGE_FIRST, _ephemeral_first()), k=200 + 10 * count)
    for port in candidates:
        if len(found) == count:
            break
        if port not in (taken or ()) and port_is_free(port):
            found.append(port)
    if len(found) < count:
        raise Unavailable("a free TCP port", "127.0.0.1", f"{count} ports are needed, {len(found)} were found")
    return found


def _ephemeral_first() -> int:
    """The first port of the range for outgoing connections."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        first = _DEFAULT_EPHEMERAL_FIRST
    return first if first >= _PORT_RANGE_FIRST + 5000 else _DEFAULT_EPHEMERAL_FIRST
