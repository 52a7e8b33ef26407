"""How many images a run may hold: fewer after memory was short, and slowly more again. Pure: time is an argument."""

from collections.abc import Hashable
from dataclasses import dataclass

# Until a larger run is tried; doubled each time that it fails, because what fits seldom changes.
FIRST_WAIT_S, LONGEST_WAIT_S = 10.0, 600.0


@dataclass(slots=True)
class _Learned:
    size: int
    wait_s: float = FIRST_WAIT_S
    try_at_s: float = 0.0


class WorkingSize:
    """For each shape of image by itself, because each needs its own memory. Not thread-safe.

    A size that ran out of memory is halved. The next larger one, the double, is tried after a while.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._learned: dict[Hashable, _Learned] = {}

    def allowed(self, shape: Hashable, now_s: float) -> int:
        """The most images that the next run may hold, at least 1."""
        learned = self._learned.get(shape)
        if learned is None:
            return self._max_rows
        return min(self._max_rows, 2 * learned.size) if now_s >= learned.try_at_s else learned.size

    def ran_out(self, shape: Hashable, rows: int, now_s: float) -> None:
        """A run of so many images ran out of memory."""
        learned = self._learned.get(shape)
        size = max(1, rows // 2)
        if learned is None:
            self._learned[shape] = _Learned(size, FIRST_WAIT_S, now_s + FIRST_WAIT_S)
            return
        if rows > learned.size:  # it was the try
            learned.wait_s = min(2 * learned.wait_s, LONGEST_WAIT_S)
        learned.size = min(learned.size, size)
        learned.try_at_s = now_s + learned.wait_s

    def fitted(self, shape: Hashable, rows: int, now_s: float) -> None:
        """A run of so many images was right."""
        learned = self._learned.get(shape)
        if learned is None or rows <= learned.size:
            return
        if rows >= self._max_rows:
            del self._learned[shape]
        else:
            self._learned[shape] = _Learned(rows, FIRST_WAIT_S, now_s + FIRST_WAIT_S)
