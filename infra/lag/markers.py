"""Where nothing but transaction markers is left to read: no consumer ever gets those, and its lag would never be 0.

No question about offsets tells a marker from a record. So what is left is read: of partitions with a tiny lag that has
not moved since the look before, and where this user has the right Read. Everywhere else the lag stands as it is.
"""

import time
from collections.abc import Iterator
from typing import Any

import confluent_kafka

from infra.kafka import clients
from infra.kafka.errors import FaultKind, fault_of
from infra.lag.look import ClusterLook
from infra.lag.rules.lag_time import Unread
from infra.process import logs
from infra.settings import Settings
from schemas.coordinates import TopicPartition

log = logs.get(__name__)

# A marker is one offset, and an aborted transaction a few more.
MAX_LAG = 8
MAX_PARTITIONS = 64
BUDGET_S = 0.5
POLL_S = 0.05
_KEYS = {
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    "queued.min.messages": 1,
    "max.partition.fetch.bytes": 1024,  # the broker gives one batch at least
    "fetch.wait.max.ms": 10,
}


class Markers:
    """For one thread. `bare` remembers what it has found for as long as neither a group nor its log moves."""

    def __init__(self, settings: Settings, budget_s: float = BUDGET_S) -> None:
        self._settings, self._budget_s = settings, budget_s
        self._consumer: confluent_kafka.Consumer | None = None
        # By place: the end of the log, and whether a record lies before it; None where that is not known yet.
        self._seen: dict[Unread, tuple[int, bool | None]] = {}

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def bare(self, look: ClusterLook) -> frozenset[Unread]:
        """The committed offsets behind which the log holds no record for anybody."""
        before, self._seen = self._seen, {}
        wanted: dict[TopicPartition, Unread] = {}
        for place, end in _nearly_read(look):
            known_end, has_record = before.get(place, (-1, None))
            is_still = known_end == end
            self._seen[place] = end, has_record if is_still else None
            if is_still and has_record is None and len(wanted) < MAX_PARTITIONS:
                wanted.setdefault(place.partition, place)
        if wanted:
            try:
                self._read(wanted)
            except confluent_kafka.KafkaException as error:
                log.debug("transaction markers are not looked for", error=str(error))
        return frozenset(place for place, (_, has_record) in self._seen.items() if has_record is False)

    def _read(self, wanted: dict[TopicPartition, Unread]) -> None:
        if self._consumer is None:
            # librdkafka wants the name of a group even where none is joined.
            self._consumer = clients.consumer(self._settings, "sightline-lag", **_KEYS)
            # It now knows the leaders: it looks for one once a second only.
            self._consumer.list_topics(timeout=self._settings.kafka.start_timeout_ms / 1000)
        left, end_s = dict(wanted), time.monotonic() + self._budget_s
        self._consumer.assign([confluent_kafka.TopicPartition(*key, place.offset) for key, place in left.items()])
        while left and time.monotonic() < end_s:
            message: Any = self._consumer.poll(POLL_S)
            if message is None:
                continue
            place = left.pop(TopicPartition(message.topic() or "", message.partition() or 0), None)
            if place is not None:
                # Without the right Read, or without an answer, the lag stands.
                error = message.error()
                is_bare = error is not None and fault_of(error).kind is FaultKind.END_OF_PARTITION
                self._seen[place] = self._seen[place][0], not is_bare
        self._consumer.unassign()


def _nearly_read(look: ClusterLook) -> Iterator[tuple[Unread, int]]:
    """The places of groups that lack a few records, with the ends of their logs. Pure."""
    for group in look.groups:
        for partition, committed in group.committed.items():
            ends = look.ends.get(partition)
            if ends is not None and ends.start <= committed < ends.stable <= committed + MAX_LAG:
                yield Unread(partition, committed), ends.stable
