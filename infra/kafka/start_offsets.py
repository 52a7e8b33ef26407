"""Finds the offset at which a partition is read when the client cannot: the committed one, and never a guess.

The committed offset is unknown while the open transaction of a dead worker holds it. When the assignment changes in
that time, librdkafka (2.16) falls back to `auto.offset.reset`: a whole retention is labelled once more. Therefore
the client may only report that it has no offset (`auto.offset.reset=error`), and the member asks until the transaction
has ended. Without a committed offset it starts at the first record: no setting skips records.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from infra.kafka.offsets_lookup import OffsetsClient, OffsetsLookup, PartitionOffsets
from infra.process import logs
from infra.process.lifecycle import Start, in_thread
from schemas.coordinates import TopicPartition

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Reading starts at `offset`. `gone`: offsets before it that the log does not hold any more.

    The group has not read them, or, where it `may_have_read` them, nothing is committed that tells: Kafka forgets the
    offsets of a group that has been without a member for a week. `goes_on`: reading goes on behind what was read in
    this generation, which is still in flight and still counts.
    """

    offset: int
    gone: range = range(0)
    may_have_read: bool = False
    goes_on: bool = False

    @property
    def to_commit(self) -> int | None:
        """The offset to commit before anything is read, where the group has committed none and nothing is gone."""
        return self.offset if self.may_have_read and not self.gone else None


def start_point_of(partition: TopicPartition, offsets: PartitionOffsets, last_read: int | None = None) -> StartPoint:
    """Behind the last read record, else the committed offset, where the log still holds it, else the first record.

    `last_read`: the record that the member has read last in its present generation, if it has read any. Where the log
    does not reach so far, it was cut or is another one, and everything that is there is read. A committed offset behind
    the end alone does not tell that, because a broker that has just started can name an end that is too early. It is
    tried, and the broker, which reads by its own log, refuses it or not.
    """
    if last_read is not None and last_read < offsets.end:
        position = max(last_read + 1, offsets.first)
        return StartPoint(position, range(last_read + 1, position), goes_on=True)
    if offsets.committed is None:
        return StartPoint(offsets.first, range(offsets.first), may_have_read=True)
    if offsets.committed < offsets.first:
        return StartPoint(offsets.first, range(offsets.committed, offsets.first))
    if last_read is not None:
        log.warning(
            "the log ends before the offset to read: everything that is there is read",
            partition=str(partition),
            wanted=last_read + 1,
            end=offsets.end,
        )
        return StartPoint(offsets.first)
    return StartPoint(offsets.committed)


class StartOffsets:
    """Assigned partitions that wait for their first offset. For the poll thread; another thread asks the broker."""

    def __init__(self, client: OffsetsClient, start: Start = in_thread) -> None:
        self._lookup = OffsetsLookup(client, start)
        # Committed offsets behind the end of the log, which were tried all the same.
        self._tried: dict[TopicPartition, int] = {}

    def want(self, partition: TopicPartition) -> None:
        """Its offset is not known, or the log does not hold it: ask for it."""
        self._lookup.want([partition])

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """The partitions were revoked: a pending answer is ignored, even if they are assigned again before it comes."""
        gone = list(partitions)
        self._lookup.forget(gone)
        for partition in gone:
            self._tried.pop(partition, None)

    def found(
        self, now_s: float, last_read: Callable[[TopicPartition], int | None]
    ) -> dict[TopicPartition, StartPoint]:
        """Where to start, as far as that is known now; the others are asked for again. Never waits."""
        answers = self._lookup.found(now_s)
        return {one: self._point(one, offsets, last_read(one)) for one, offsets in answers.items()}

    def _point(self, partition: TopicPartition, offsets: PartitionOffsets, last_read: int | None) -> StartPoint:
        committed, tried = offsets.committed, self._tried.pop(partition, None)
        if last_read is None and committed is not None and committed > offsets.end:
            if tried == committed:
                last_read = committed - 1  # by another member, or in a life before
            else:
                self._tried[partition] = committed
        return start_point_of(partition, offsets, last_read)
