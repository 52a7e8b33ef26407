"""Finds the offset at which a partition is read when the client cannot: the committed one, and never a guess.

The committed offset is unknown while the open transaction of a dead worker holds it. When the assignment changes in
that time, librdkafka (2.16) falls back to `auto.offset.reset`: a whole retention is labelled once more. Therefore
the client may only report that it has no offset (`auto.offset.reset=error`), and the member asks until the transaction
has ended. Without a committed offset it starts at the first record: no setting skips records.
"""

from collections.abc import Iterable
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
    offsets of a group that has been without a member for a week.
    """

    offset: int
    gone: range = range(0)
    may_have_read: bool = False


def start_point_of(partition: TopicPartition, offsets: PartitionOffsets, refused: int | None = None) -> StartPoint:
    """The committed offset where the log still holds it, else the first record.

    `refused`: an offset from which the broker did not let this member read. Where it lies behind the end, the log was
    cut or is another one, and everything that is there is read. The end alone does not tell that: a broker that has
    just started can name one that is too early, but it reads by its own log.
    """
    if refused is not None and refused > offsets.end:
        log.warning(
            "the log ends before the offset to read: everything that is there is read",
            partition=str(partition),
            wanted=refused,
            end=offsets.end,
        )
        return StartPoint(offsets.first)
    if offsets.committed is None:
        return StartPoint(offsets.first, range(offsets.first), may_have_read=True)
    if offsets.committed < offsets.first:
        return StartPoint(offsets.first, range(offsets.committed, offsets.first))
    return StartPoint(offsets.committed)


class StartOffsets:
    """Assigned partitions that wait for their first offset. For the poll thread; another thread asks the broker."""

    def __init__(self, client: OffsetsClient, start: Start = in_thread) -> None:
        self._lookup = OffsetsLookup(client, start)
        self._refused: dict[TopicPartition, int] = {}
        # The committed offsets with which partitions were started.
        self._tried: dict[TopicPartition, int] = {}

    def want(self, partition: TopicPartition, refused: int | None = None) -> None:
        """Its offset is not known, or the log does not hold it: ask for it.

        `refused` as in `start_point_of`. A member that does not know it leaves it out: when the client has no offset
        right after it was given one, that one was refused.
        """
        if refused is not None:
            self._refused[partition] = refused
        self._lookup.want([partition])

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """The partitions were revoked: a pending answer is ignored, even if they are assigned again before it comes."""
        gone = list(partitions)
        self._lookup.forget(gone)
        for partition in gone:
            self._refused.pop(partition, None)
            self._tried.pop(partition, None)

    def found(self, now_s: float) -> dict[TopicPartition, StartPoint]:
        """Where to start, as far as that is known now; the others are asked for again. Never waits."""
        answers = self._lookup.found(now_s)
        return {partition: self._point(partition, offsets) for partition, offsets in answers.items()}

    def _point(self, partition: TopicPartition, offsets: PartitionOffsets) -> StartPoint:
        tried = self._tried.pop(partition, None)
        refused = self._refused.pop(partition, tried if tried == offsets.committed else None)
        if offsets.committed is not None:
            self._tried[partition] = offsets.committed
        return start_point_of(partition, offsets, refused)
