"""Which brokers answer at this moment, and whether the addresses that they advertise can be used from here."""

from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.kafka.clients import Keys, metadata_of
from infra.kafka.listeners import UnreachableBroker, unreachable_brokers
from infra.settings import Settings
from schemas.errors import Unavailable


@dataclass(frozen=True, slots=True)
class BrokersFound:
    """What a metadata request and one connection to each advertised address told; `hint`: why there is no answer."""

    ids: frozenset[int]
    unreachable: tuple[UnreachableBroker, ...] = ()
    hint: str = ""

    @property
    def answer(self) -> bool:
        return bool(self.ids)

    @property
    def are_usable(self) -> bool:
        """At least one broker can be reached where it says that it is."""
        return len(self.unreachable) < len(self.ids)


def find_brokers(settings: Settings) -> BrokersFound:
    """Asks any of the configured brokers, for up to `kafka.start_timeout_ms`. Raises ConfigError for wrong keys."""
    try:
        brokers: Any = metadata_of(settings).brokers
    except Unavailable as error:
        return BrokersFound(frozenset(), hint=error.hint)
    places = {broker_id: (broker.host, broker.port) for broker_id, broker in brokers.items()}
    return BrokersFound(frozenset(places), tuple(unreachable_brokers(places, settings.kafka.client)))


def answering_brokers(bootstrap_servers: str, timeout_s: float) -> set[int]:
    """The ids of the brokers that are in service, by a metadata request; empty when nobody answers in time.

    No answer is a normal result here, so the client's own warnings are switched off.
    """
    keys: Keys = {
        "bootstrap.servers": bootstrap_servers,
        "log_level": 0,
        "error_cb": lambda _error: None,
        "reconnect.backoff.max.ms": 250,
        "socket.connection.setup.timeout.ms": 1000,
    }
    try:
        return set(AdminClient(keys).list_topics(timeout=timeout_s).brokers)
    except KafkaException:
        return set()
