"""For how long topics keep their records. Needs the right DescribeConfigs; a topic without it is not answered."""

import math
from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from infra.kafka import clients
from infra.kafka.errors import fault_of
from infra.process import logs
from infra.settings import Settings

log = logs.get(__name__)

REFRESH_S = 300.0


class TopicRetention:
    """Asks for the topics' settings once in REFRESH_S, in one call for all; for one thread."""

    def __init__(self, settings: Settings) -> None:
        self._admin: AdminClient = clients.admin(settings)
        self._timeout_s = settings.kafka.start_timeout_ms / 1000
        self._known: dict[str, tuple[float | None, float]] = {}
        self._told: set[str] = set()

    def look(self, topics: Iterable[str], now_s: float) -> dict[str, float]:
        """Seconds by topic, infinite for one that keeps all; a topic of which that is not known is left out."""
        wanted = set(topics)
        due = {one for one in wanted if one not in self._known or now_s - self._known[one][1] >= REFRESH_S}
        found = self._ask(due) if due else {}
        self._known = {one: self._known[one] for one in wanted - due} | {one: (found.get(one), now_s) for one in due}
        return {one: retention_s for one, (retention_s, _) in self._known.items() if retention_s is not None}

    def _ask(self, topics: set[str]) -> dict[str, float]:
        resources = [ConfigResource(ResourceType.TOPIC, one) for one in topics]
        found: dict[str, float] = {}
        for resource, future in self._admin.describe_configs(resources, request_timeout=self._timeout_s).items():
            try:
                entries = future.result()
            except KafkaException as error:
                self._tell(str(fault_of(error.args[0])))
            else:
                values = {name: entry.value for name, entry in entries.items()}
                retention_s = retention_s_of(values)
                if retention_s is not None:
                    found[resource.name] = retention_s
        return found

    def _tell(self, fault: str) -> None:
        """Once for each fault: a right that is missing stays so."""
        if fault not in self._told:
            self._told = {fault}
            log.info("retention is not known, so that nobody is warned before it removes unread records", error=fault)


def retention_s_of(settings: Mapping[str, str | None]) -> float | None:
    """From the settings of a topic as the broker writes them. Pure.

    None where they do not say, and for a topic with a limit in bytes: how long that holds depends on what is written.
    """
    if "delete" not in (settings.get("cleanup.policy") or "delete"):
        return math.inf
    try:
        limit_ms, limit_bytes = (int(settings.get(name) or "") for name in ("retention.ms", "retention.bytes"))
    except ValueError:
        return None
    if limit_bytes >= 0:
        return None
    return limit_ms / 1000 if limit_ms >= 0 else math.inf
