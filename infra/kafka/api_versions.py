"""Which requests a broker knows, as librdkafka learned it: asked once, with the same address, certificates and user.

The client has no call for it. It lists the versions among its debug lines of the context `feature`.
"""

import re

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.kafka.clients import admin_config, new_client
from infra.settings import Settings

CONSUMER_GROUP_HEARTBEAT = 68
# librdkafka 2.16 asks for this version. Kafka 3.7 to 3.9 have version 0 only, an early access.
HEARTBEAT_VERSION = 1
_LINE = re.compile(r"ApiKey \S+ \((\d+)\) Versions (\d+)\.\.(\d+)")


def knows_kip_848(settings: Settings) -> bool | None:
    """Whether a broker has the request by which a member of KIP-848 joins; None when no broker answers in time.

    Where it does not, librdkafka 2.16 sends nothing and says nothing, for ever. Where it does, KIP-848 can still be
    switched off: the first heartbeat is then refused.
    """
    found = api_versions(settings)
    first, last = found.get(CONSUMER_GROUP_HEARTBEAT, (1, 0))
    return first <= HEARTBEAT_VERSION <= last if found else None


def api_versions(settings: Settings) -> dict[int, tuple[int, int]]:
    """The first and last version of each request, by its number; empty without an answer."""
    lines = _Lines()
    keys = {**admin_config(settings), "debug": "feature", "logger": lines, "error_cb": lambda _error: None}
    client = new_client(AdminClient, keys, "kafka.client or kafka.admin")
    try:
        client.list_topics(timeout=settings.kafka.start_timeout_ms / 1000)
    except KafkaException:
        return {}
    client.poll(0)
    return versions_in(lines.texts)


def versions_in(texts: list[str]) -> dict[int, tuple[int, int]]:
    """What all brokers know that answered. Pure."""
    found: dict[int, tuple[int, int]] = {}
    for text in texts:
        if match := _LINE.search(text):
            key, first, last = map(int, match.groups())
            known = found.get(key, (first, last))
            found[key] = max(known[0], first), min(known[1], last)
    return found


class _Lines:
    """A logger that keeps what the client says."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def log(self, _level: int, text: str, *args: object) -> None:
        self.texts.append(text % args if args else text)
