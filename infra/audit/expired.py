"""The offsets that retention has removed from a log, and which of them had an outcome. Pure; one byte an offset."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from infra.kafka.spans import Period

# Outcomes are recorded for at most this many offsets before the log's start, which takes 64 MiB a partition.
MAX_OFFSETS = 2**26

Offsets = NDArray[np.int64]


class _Side(IntEnum):
    """What is known of an offset: that it has no outcome, or where its frame lies: before, in or after the period."""

    NO_OUTCOME = 0
    EARLIER = 1
    INSIDE = 2
    LATER = 3


class ExpiredOffsets:
    """The offsets of one partition before `end`, which is the start of its log or of the range in it.

    `whole_from_ms`: outcomes of frames before this time may have been removed by retention too; None: no outcome was
    removed. Only the offsets after the first frame whose outcome must still exist are judged.
    """

    def __init__(self, end: int, period: Period, whole_from_ms: int | None = None) -> None:
        self._period, self._whole_from_ms = period, whole_from_ms
        size = min(end, MAX_OFFSETS)
        self._start = end - size
        self._sides = np.zeros(size + 1, np.uint8)
        # The sentinel for the offset `end`. The frame there is not before the period: the audited range starts with it.
        self._sides[size] = _Side.LATER
        self._lowest = size

    def outcome(self, offset: int, frame_ms: int | None) -> None:
        """Record an outcome of the frame at `offset`. `frame_ms`: the frame's timestamp, if the outcome names it."""
        index = offset - self._start
        if not 0 <= index < len(self._sides) - 1:
            return
        self._sides[index] = self._side_of(frame_ms)
        if self._whole_from_ms is None or (frame_ms is not None and frame_ms >= self._whole_from_ms):
            self._lowest = min(self._lowest, index)

    def gaps(self) -> tuple[Offsets, Offsets]:
        """First offsets and lengths of the runs of offsets without an outcome that may have held frames of the period.

        The time of a removed frame can only be estimated by its neighbours: a run lies outside the period when the
        neighbours on both of its ends lie on the same side of the period.
        """
        told = self._sides[self._lowest :]
        edges = np.flatnonzero(np.diff(told == _Side.NO_OUTCOME))
        before, last = edges[0::2], edges[1::2]
        left, right = told[before], told[last + 1]
        ours = (left != right) | (left == _Side.INSIDE)
        return self._start + self._lowest + before[ours] + 1, (last - before)[ours]

    def lowest_open(self) -> int | None:
        """The first offset whose outcome is still to be found; None: there is none.

        Gaps are counted from a frame before the period. While no such frame is known, it is the first offset of all.
        """
        firsts, _ = self.gaps()
        if self._period.from_us is not None and self._sides[self._lowest] != _Side.EARLIER:
            return self._start
        return int(firsts[0]) if len(firsts) else None

    def _side_of(self, frame_ms: int | None) -> _Side:
        if frame_ms is None or self._period.holds(frame_ms):
            return _Side.INSIDE
        from_us = self._period.from_us
        return _Side.EARLIER if from_us is not None and frame_ms * 1000 < from_us else _Side.LATER
