"""Does a broker really work? Asked by a metadata request, and read from its log when it does not."""

from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient


def answering_brokers(bootstrap_servers: str, timeout_s: float) -> set[int]:
    """The ids of the brokers that are in service, by a real metadata request; empty when nobody answers in time."""
    settings: dict[str, Any] = {
        "bootstrap.servers": bootstrap_servers,
        # Nobody there is an answer here, not news for the terminal.
        "log_level": 0,
        "error_cb": lambda _error: None,
        "reconnect.backoff.max.ms": 250,
        "socket.connection.setup.timeout.ms": 1000,
    }
    try:
        return set(AdminClient(settings).list_topics(timeout=timeout_s).brokers)
    except KafkaException:
        return set()


def cause_in_log(log: str) -> str:
    """The last line of a broker's log that tells of an error, else its last line."""
    lines = log.splitlines()
    errors = [line for line in lines if " ERROR " in line or " FATAL " in line]
    return (errors or lines or [""])[-1]
