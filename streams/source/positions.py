"""Which assigned partitions the stage reads, and from which offset: decided here, and neither by Faust nor by aiokafka.

Faust seeks to the committed offset whatever the log holds, and drops every record below the highest offset that it has
read. aiokafka goes to the log's beginning or end without a word when its offset is not there.
"""

import time
from collections.abc import Mapping
from typing import Any

from infra.kafka.start_offsets import StartOffsets, StartPoint
from infra.process import logs
from schemas.coordinates import TopicPartition

log = logs.get(__name__)


class Positions:
    """A partition is read once its start is known. For the thread of the aiokafka consumer, except `again`."""

    def __init__(self, starts: StartOffsets) -> None:
        self._starts = starts
        self._assignment: Any = None
        self._is_stale = False
        # Partitions whose start is asked for, with the offset that was refused; None where this member begins.
        self._wanted: dict[TopicPartition, int | None] = {}
        self.started: set[TopicPartition] = set()

    @property
    def waits(self) -> bool:
        """Whether the start of a partition is asked for."""
        return bool(self._wanted)

    def again(self) -> None:
        """Start all partitions once more: records were fetched that nobody took. For any thread."""
        self._is_stale = True

    def look(self, consumer: Any, now_s: float | None = None) -> dict[TopicPartition, list[StartPoint]]:
        """Start what can be started now. Returns the jumps of which the reader must know. Never waits."""
        self._follow_assignment(consumer)
        jumps: dict[TopicPartition, list[StartPoint]] = {}
        positions: dict[str, int] = {}
        found = self._starts.found(time.monotonic() if now_s is None else now_s, self._last_read)
        for partition, point in found.items():
            is_new = self._wanted.pop(partition) is None
            positions[str(partition)] = point.offset
            self._seek(consumer, partition, point.offset)
            self.started.add(partition)
            if point.gone or point.to_commit is not None or not (is_new or point.goes_on):
                jumps[partition] = [point]
        if positions:
            log.info("partitions started", positions=positions)
        return jumps

    def _last_read(self, partition: TopicPartition) -> int | None:
        """Everything before the offset that was refused was read, by this member or by others."""
        refused = self._wanted[partition]
        return None if refused is None else refused - 1

    def refused(self, consumer: Any, offsets: Mapping[TopicPartition, int]) -> None:
        """The broker does not have these offsets: ask where to go on."""
        for found, offset in offsets.items():
            partition = TopicPartition(*found)
            # An error can be older than the position.
            if partition in self.started and _state(self._assignment, partition).position == offset:
                self.started.discard(partition)
                self._wanted[partition] = offset
                self._starts.want(partition)

    def _follow_assignment(self, consumer: Any) -> None:
        """aiokafka makes a new object for each assignment."""
        subscription = consumer._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        if assignment is self._assignment and not self._is_stale:
            return
        self._is_stale = False
        self._starts.forget([*self._wanted, *self.started])
        self._assignment = assignment
        self.started.clear()
        self._wanted = {TopicPartition(*one): None for one in (assignment.tps if assignment is not None else ())}
        for partition in self._wanted:
            self._starts.want(partition)

    def _seek(self, consumer: Any, partition: TopicPartition, offset: int) -> None:
        """Without a need it would throw away what was fetched ahead."""
        state = _state(self._assignment, partition)
        if not state.has_valid_position or state.position != offset:
            consumer.seek(partition, offset)


def _state(assignment: Any, partition: TopicPartition) -> Any:
    return assignment.state_value(partition)
