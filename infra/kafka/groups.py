"""The bookkeeping of a group member: which partitions it owns, since when, and which offsets it may commit. Pure.

Every consumer group of Sightline uses it: the stream stage, the retries of frames and of webhooks, the
workers, the sinks. Not thread-safe, except that any thread may ask `generation` and `newest_ms`.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from schemas.coordinates import TopicPartition

T = TypeVar("T")


class Ticket(Generic[T]):
    """One record in flight: read in this `generation` of its partition, and finished or not."""

    __slots__ = ("generation", "is_finished", "item", "offset", "topic_partition")

    def __init__(self, topic_partition: TopicPartition, offset: int, generation: int, item: T) -> None:
        self.topic_partition, self.offset, self.generation, self.item = topic_partition, offset, generation, item
        self.is_finished = False


@dataclass(slots=True)
class _Owned(Generic[T]):
    generation: int
    in_flight: deque[Ticket[T]] = field(default_factory=deque)
    first_read: int | None = None
    last_read: int | None = None
    next_offset: int | None = None  # behind the unbroken prefix of what is finished
    committed: int | None = None
    newest_ms: int | None = None  # the capture time of the newest frame that is finished


class GroupProgress(Generic[T]):
    """Records are started in the order in which they were read, and finished in any order.

    `to_commit()` never passes a record that is not finished. Gaps between offsets (compaction, transaction markers)
    hold nothing up. A partition that is assigned, revoked or rewound begins a new generation: what is still in flight
    of an earlier one does not count any more, because the next owner reads it again.
    """

    def __init__(self) -> None:
        self._owned: dict[TopicPartition, _Owned[T]] = {}
        self._last_generation = 0
        # Grows with every record that joins a finished prefix, so that a commit can count what it covers. Any thread.
        self.completed = 0

    # -- ownership

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions are owned from now on. Each begins a new generation, also one that was owned already."""
        for partition in partitions:
            self._last_generation += 1
            self._owned[partition] = _Owned(self._last_generation)

    def revoke(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions are not owned any more."""
        for partition in partitions:
            self._owned.pop(partition, None)

    def rewind(self) -> dict[TopicPartition, int]:
        """Begin a new generation of every partition that was read from; returns the offsets to read again from."""
        positions: dict[TopicPartition, int] = {}
        for partition, owned in self._owned.items():
            position = owned.first_read if owned.committed is None else owned.committed
            if owned.first_read is not None and position is not None:
                positions[partition] = position
        self.assign(positions)
        return positions

    def partitions(self) -> list[TopicPartition]:
        return list(self._owned)

    def generation(self, partition: TopicPartition) -> int | None:
        """The generation of a partition; None where it is not owned."""
        owned = self._owned.get(partition)
        return None if owned is None else owned.generation

    def last_read(self, partition: TopicPartition) -> int | None:
        """The offset of the record that was read last in this generation; None where none was."""
        owned = self._owned.get(partition)
        return None if owned is None else owned.last_read

    def set_beginning(self, partition: TopicPartition, offset: int) -> None:
        """The group has committed nothing of this partition: the offset at which reading begins is to be committed.

        Never an offset behind a record that was read already. Without effect where the partition is not owned.
        """
        owned = self._owned.get(partition)
        if owned is not None and owned.next_offset is None:
            owned.next_offset = offset if owned.first_read is None else min(offset, owned.first_read)

    # -- records in flight

    def start(self, partition: TopicPartition, offset: int, item: T) -> Ticket[T] | None:
        """One record was read. None where its partition is not owned (any more): the record must then be ignored."""
        owned = self._owned.get(partition)
        if owned is None:
            return None
        if owned.first_read is None:
            owned.first_read = offset
        owned.last_read = offset
        ticket = Ticket(partition, offset, owned.generation, item)
        owned.in_flight.append(ticket)
        return ticket

    def finish(self, ticket: Ticket[T], captured_ms: int | None = None) -> bool:
        """The outcome of the record is on the broker. False, without effect, when its generation is over.

        `captured_ms`: the capture time of its newest frame, where it has one.
        """
        owned = self._owned.get(ticket.topic_partition)
        if ticket.is_finished or owned is None or owned.generation != ticket.generation:
            return False
        ticket.is_finished = True
        if captured_ms is not None:
            owned.newest_ms = max(captured_ms, owned.newest_ms or 0)
        in_flight = owned.in_flight
        while in_flight and in_flight[0].is_finished:
            behind = in_flight.popleft().offset + 1
            if owned.next_offset is None or behind > owned.next_offset:
                owned.next_offset = behind
            self.completed += 1
        return True

    def in_flight(self, partitions: Iterable[TopicPartition] | None = None) -> Iterator[T]:
        """Items that are started and not finished, of these partitions or of all."""
        for partition in list(self._owned) if partitions is None else partitions:
            owned = self._owned.get(partition)
            yield from (ticket.item for ticket in (owned.in_flight if owned else ()) if not ticket.is_finished)

    def pending(self) -> int:
        """How many records are started and lie at or behind the first that is not finished."""
        return sum(len(owned.in_flight) for owned in self._owned.values())

    def ahead(self, partition: TopicPartition) -> int:
        """How many records of the partition are started and lie at or behind the first that is not finished."""
        owned = self._owned.get(partition)
        return 0 if owned is None else len(owned.in_flight)

    def oldest(self, partition: TopicPartition) -> Ticket[T] | None:
        """The first record of the partition that is started and not finished; None where there is none."""
        owned = self._owned.get(partition)
        return owned.in_flight[0] if owned is not None and owned.in_flight else None

    def newest_ms(self) -> dict[TopicPartition, int]:
        """The capture time of the newest frame that is finished, of each owned partition that has one. Any thread."""
        owned = list(self._owned.items())
        return {partition: one.newest_ms for partition, one in owned if one.newest_ms is not None}

    # -- offsets

    def to_commit(self) -> dict[TopicPartition, int]:
        """The next offset to read of every partition where that has moved since the last commit."""
        return {
            partition: owned.next_offset
            for partition, owned in self._owned.items()
            if owned.next_offset is not None and (owned.committed is None or owned.next_offset > owned.committed)
        }

    def committed(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """The broker has stored these offsets; True when one of them is progress."""
        has_moved = False
        for partition, offset in offsets.items():
            owned = self._owned.get(partition)
            if owned is not None and offset > (-1 if owned.committed is None else owned.committed):
                owned.committed = offset
                has_moved = True
        return has_moved

    @property
    def has_uncommitted(self) -> bool:
        """Something was read and is not finished, or is finished and not committed."""
        return self.pending() > 0 or bool(self.to_commit())
