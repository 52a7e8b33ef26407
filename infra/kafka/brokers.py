"""Which brokers answer at this moment."""

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.kafka.clients import Keys, admin
from infra.settings import Settings


def kafka_answers(settings: Settings) -> bool:
    """Whether any of the configured brokers answers a metadata request within `kafka.start_timeout_ms`."""
    return bool(_broker_ids(admin(settings), settings.kafka.start_timeout_ms / 1000))


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
    return _broker_ids(AdminClient(keys), timeout_s)


def _broker_ids(client: AdminClient, timeout_s: float) -> set[int]:
    try:
        return set(client.list_topics(timeout=timeout_s).brokers)
    except KafkaException:
        return set()
