"""Offsets that retention has removed from a log, and which of them an outcome tells of. Pure; one byte an offset."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from infra.kafka.spans import Period

# So far before the log's start outcomes are kept account of: 64 MiB a partition, where there are so many.
MAX_OFFSETS = 2**26

Offsets = NDArray[np.int64]


class _Told(IntEnum):
    """What outcomes tell of an offset: nothing, or on which side of the period its frame lies."""

    NOTHING = 0
    EARLIER = 1
    INSIDE = 2
    LATER = 3


class Expired:
    """The offsets of one partition before `end`, where its log or the range in it begins.

    `whole_from_ms`: outcomes of frames before this time may have been removed too; None when no outcome was. Only
    offsets behind the first frame whose outcome must still be there are judged.
    """

    def __init__(self, end: int, period: Period, whole_from_ms: int | None = None) -> None:
        self._period, self._whole_from_ms = period, whole_from_ms
        size = min(end, MAX_OFFSETS)
        self._start = end - size
        self._told = np.zeros(size + 1, np.uint8)
        # What retention has left is not before the period: nothing is, or the range would begin behind it.
        self._told[size] = _Told.LATER
        self._lowest = size

    def outcome(self, offset: int, frame_ms: int | None) -> None:
        """`frame_ms`: the frame's timestamp, if it is told."""
        index = offset - self._start
        if not 0 <= index < len(self._told) - 1:
            return
        self._told[index] = self._side(frame_ms)
        if self._whole_from_ms is None or (frame_ms is not None and frame_ms >= self._whole_from_ms):
            self._lowest = min(self._lowest, index)

    def gaps(self) -> tuple[Offsets, Offsets]:
        """First offsets and lengths of the runs without an outcome that may hold frames of the period.

        The time of a frame that is gone is known by its neighbours alone: a run is of another time when both are.
        """
        told = self._told[self._lowest :]
        edges = np.flatnonzero(np.diff(told == _Told.NOTHING))
        before, last = edges[0::2], edges[1::2]
        left, right = told[before], told[last + 1]
        ours = (left != right) | (left == _Told.INSIDE)
        return self._start + self._lowest + before[ours] + 1, (last - before)[ours]

    def lowest_open(self) -> int | None:
        """The first offset to find an outcome of. Gaps count from a frame before the period, so one must be known."""
        firsts, _ = self.gaps()
        if self._period.from_us is not None and self._told[self._lowest] != _Told.EARLIER:
            return self._start
        return int(firsts[0]) if len(firsts) else None

    def _side(self, frame_ms: int | None) -> _Told:
        if frame_ms is None or self._period.holds(frame_ms):
            return _Told.INSIDE
        from_us = self._period.from_us
        return _Told.EARLIER if from_us is not None and frame_ms * 1000 < from_us else _Told.LATER
