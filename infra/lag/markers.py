"""Where nothing but transaction markers is left to read: no consumer ever gets those, and its lag would never be 0.

What is left is read of partitions with a tiny lag that has not moved since the look before, where this user has the
right Read. Everywhere else the lag stands as it is.
"""

from collections.abc import Iterator

from infra.kafka.errors import KafkaFailure
from infra.kafka.last_records import LastRecords
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


class Markers:
    """For one thread. Remembers what it has found for as long as neither a group nor its log moves."""

    def __init__(self, settings: Settings) -> None:
        self._records = LastRecords(settings)
        # By place: the end of the log, and whether a record lies before it; None where that is not known yet.
        self._seen: dict[Unread, tuple[int, bool | None]] = {}

    def close(self) -> None:
        self._records.close()

    def bare(self, look: ClusterLook) -> frozenset[Unread]:
        """The committed offsets behind which the log holds no record for anybody."""
        before, self._seen = self._seen, {}
        wanted: dict[TopicPartition, int] = {}
        for place, end in _nearly_read(look):
            known_end, has_record = before.get(place, (-1, None))
            self._seen[place] = end, has_record if known_end == end else None
            if known_end == end and has_record is None and len(wanted) < MAX_PARTITIONS:
                wanted.setdefault(place.partition, place.offset)
        if wanted:
            try:
                for partition, has_record in self._records.look(wanted, BUDGET_S).items():
                    place = Unread(partition, wanted[partition])
                    self._seen[place] = self._seen[place][0], has_record
            except KafkaFailure as failure:
                log.debug("transaction markers are not looked for", error=str(failure))
        return frozenset(place for place, (_, has_record) in self._seen.items() if has_record is False)


def _nearly_read(look: ClusterLook) -> Iterator[tuple[Unread, int]]:
    """The places of groups that lack a few records, with the ends of their logs. Pure."""
    for group in look.groups:
        for partition, committed in group.committed.items():
            ends = look.ends.get(partition)
            if ends is not None and ends.start <= committed < ends.stable <= committed + MAX_LAG:
                yield Unread(partition, committed), ends.stable
