"""Plans the next run of the model: merges small micro-batches, splits large ones, keeps their order.

Pure; not thread-safe. A run starts when it is full, or when its oldest batch has waited `max_delay_ms` and the device
is idle: while the device is busy, a run that is not full can only gain by waiting.
"""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

WorkT = TypeVar("WorkT")


@dataclass(frozen=True, slots=True)
class Part(Generic[WorkT]):
    """Rows `start .. start + count` of one piece of work; `count` is 0 for work without rows.

    `arrived_ms`: when the work was added, by the clock of the caller.
    """

    work: WorkT
    start: int
    count: int
    arrived_ms: float = field(default=0.0, compare=False)


@dataclass(slots=True)
class _Queued(Generic[WorkT]):
    work: WorkT
    kind: Hashable
    rows: int
    size_bytes: int
    arrived_ms: float
    taken: int = 0

    @property
    def left(self) -> int:
        return self.rows - self.taken


class RunPlanner(Generic[WorkT]):
    """First in, first out. Only neighbours of one `kind` (the encoding) share a run.

    Work of more than `max_rows` rows is spread over several runs. Work without rows passes in its turn, without delay.
    """

    def __init__(self, max_rows: int, max_delay_ms: float) -> None:
        self._max_rows, self._max_delay_ms = max_rows, max_delay_ms
        self._queue: deque[_Queued[WorkT]] = deque()
        self.size_bytes = 0
        self.rows = 0  # those that wait; any thread may read both figures

    def __len__(self) -> int:
        """How many pieces of work wait, including one of which a part was taken."""
        return len(self._queue)

    def add(self, work: WorkT, kind: Hashable, rows: int, size_bytes: int, now_ms: float) -> None:
        """`size_bytes` counts until the last row is taken."""
        self._queue.append(_Queued(work, kind, rows, size_bytes, now_ms))
        self.size_bytes += size_bytes
        self.rows += rows

    def take(self, now_ms: float, idle: bool) -> list[Part[WorkT]]:
        """The parts of the next run, at most `max_rows` rows of one kind; empty when no run should start yet."""
        if not self._queue or self.wait_ms(now_ms, idle) != 0:
            return []
        parts: list[Part[WorkT]] = []
        # Work without rows waits for nothing, and takes no rows along that should still wait.
        room, kind = (self._max_rows if self._queue[0].left else 0), self._queue[0].kind
        while self._queue:
            head = self._queue[0]
            if head.left and (head.kind != kind or room == 0):
                break
            count = min(head.left, room)
            parts.append(Part(head.work, head.taken, count, head.arrived_ms))
            head.taken += count
            self.rows -= count
            room -= count
            if head.left:
                break
            self._queue.popleft()
            self.size_bytes -= head.size_bytes
        return parts

    def wait_ms(self, now_ms: float, idle: bool) -> float | None:
        """How long until `take` returns parts if nothing is added: 0 is now, None is never (the device must finish)."""
        if not self._queue:
            return None
        head = self._queue[0]
        rows, is_closed = self._rows_ahead()
        if head.left == 0 or rows == self._max_rows:
            return 0
        if not idle:
            return None
        return 0 if is_closed else max(0.0, head.arrived_ms + self._max_delay_ms - now_ms)

    def drop(self, unwanted: Callable[[WorkT], bool]) -> list[WorkT]:
        """Remove and return the work for which `unwanted` is true, also work of which a part was taken."""
        dropped = [queued for queued in self._queue if unwanted(queued.work)]
        if dropped:
            self._queue = deque(queued for queued in self._queue if not unwanted(queued.work))
            self.size_bytes -= sum(queued.size_bytes for queued in dropped)
            self.rows -= sum(queued.left for queued in dropped)
        return [queued.work for queued in dropped]

    def _rows_ahead(self) -> tuple[int, bool]:
        """How many rows the next run could take, and whether work of another kind follows them."""
        rows, kind = 0, self._queue[0].kind
        for queued in self._queue:
            if queued.left and queued.kind != kind:
                return rows, True
            rows += queued.left
            if rows >= self._max_rows:
                return self._max_rows, False
        return rows, False
