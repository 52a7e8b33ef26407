"""A sink that stores labels in memory: the shortest example of the contract."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from schemas.coordinates import TopicPartition
from sinks.base.contract import Row


@dataclass(slots=True)
class MemoryTarget:
    """The target, which outlives the sink as a database does. `offline` may raise Busy, and then nothing is stored."""

    rows: list[Row] = field(default_factory=list)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    log_id: str = ""
    check: Callable[[Row], None] = lambda _row: None
    offline: Callable[[], None] = lambda: None


class MemorySink:
    """Stores rows and positions in one step. `target.check` raises BadLabel for a label that is refused for ever."""

    name = "memory"

    def __init__(self, target: MemoryTarget, *, checks_at_flush: bool = False) -> None:
        self._target, self._checks_at_flush = target, checks_at_flush
        self._added: list[Row] = []

    def setup(self, log_id: str) -> None:
        self._target.offline()
        if self._target.log_id != log_id:
            self._target.log_id, self._target.positions = log_id, {}

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._target.offline()
        found = self._target.positions
        return {partition: found[partition] for partition in partitions if partition in found}

    def add(self, row: Row) -> None:
        if not self._checks_at_flush:
            self._target.check(row)
        self._added.append(row)

    def flush(self, positions: Mapping[TopicPartition, int]) -> None:
        self._target.offline()
        if self._checks_at_flush:
            for row in self._added:
                self._target.check(row)
        self._target.rows += self._added
        self._target.positions |= positions
        self._added = []

    def discard(self) -> None:
        self._added = []

    def close(self) -> None:
        self.discard()
