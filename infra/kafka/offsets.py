"""Which offsets may be committed: per partition the unbroken prefix of what is done. Pure; not thread-safe."""

from collections import deque
from dataclasses import dataclass, field

from schemas.coordinates import TopicPartition


@dataclass(slots=True)
class _Partition:
    started: deque[int] = field(default_factory=deque)
    done: set[int] = field(default_factory=set)
    next_offset: int | None = None


class CompletedPrefix:
    """Offsets are started in the order in which they were read and done in any order.

    `committable()` is the next offset to read of each partition that moved, past only what is done without a hole.
    Gaps in the offsets themselves (compaction, transaction markers) are no holes.
    """

    def __init__(self) -> None:
        self._partitions: dict[TopicPartition, _Partition] = {}

    def start(self, topic: str, partition: int, offset: int) -> None:
        """Raises ValueError when the offset is not past the last one started there."""
        state = self._partitions.setdefault(TopicPartition(topic, partition), _Partition())
        last = state.started[-1] if state.started else (state.next_offset or 0) - 1
        if offset <= last:
            raise ValueError(f"offset {offset} of {topic}/{partition} started after {last}")
        state.started.append(offset)

    def done(self, topic: str, partition: int, offset: int) -> bool:
        """Mark one offset done; False when it is not (or no longer) ours, as after a revocation."""
        state = self._partitions.get(TopicPartition(topic, partition))
        if state is None or not state.started or offset < state.started[0]:
            return False
        state.done.add(offset)
        while state.started and state.started[0] in state.done:
            finished = state.started.popleft()
            state.done.discard(finished)
            state.next_offset = finished + 1
        return True

    def committable(self) -> dict[TopicPartition, int]:
        """The next offset to read, for every partition where something is done."""
        return {key: state.next_offset for key, state in self._partitions.items() if state.next_offset is not None}

    def pending(self) -> int:
        """How many offsets are started and lie at or behind the first that is not done."""
        return sum(len(state.started) for state in self._partitions.values())

    def forget(self, topic: str, partition: int) -> None:
        """The partition was taken away or rewound: whatever is still under way there counts no more."""
        self._partitions.pop(TopicPartition(topic, partition), None)
