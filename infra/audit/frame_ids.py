"""Whose outcome is it? Tells outcomes of frames apart that had the same coordinates, in topics of the same name. Pure.

A topic that is deleted and made again starts at 0, while the labels of the frames of the one before are kept for weeks:
they would stand for frames that have no outcome. The id of a frame tells them apart, but to compare it with that of the
frame at its coordinates means to fetch that frame, with its image. So only a few are fetched: where outcomes of an
earlier topic begin in the order of offsets, the time at which outcomes were written goes back, or it is the first of
all. Where one is found, the audit looks at its neighbours.

Nine bytes an offset.
"""

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

# Outcomes of one topic are written nearly in the order of offsets. Those that come later by more than this (a retry, a
# redriven frame) make the audit fetch the frame behind them.
BACK_S = 2
# Most frames to be fetched of a partition, those with the largest steps back in time first.
MAX_SUSPECTS = 64


class FrameIds:
    """By index: the checksum of the id of the frame whose outcomes are counted (0: not known), and when it was written.

    `written` is the time of the newest of these outcomes, in seconds since 1970.
    """

    def __init__(self, size: int) -> None:
        self._frames, self._written = np.zeros(size, np.uint32), np.zeros(size, np.uint32)
        self._fetched = np.zeros(size, np.bool_)

    def grow(self, more: int) -> None:
        self._frames = np.concatenate([self._frames, np.zeros(more, np.uint32)])
        self._written = np.concatenate([self._written, np.zeros(more, np.uint32)])
        self._fetched = np.concatenate([self._fetched, np.zeros(more, np.bool_)])

    def take(self, index: int, frame_id: str, written_s: int) -> bool | None:
        """An outcome of that frame was read. True: count it. None: forget what was counted before, and count it.

        False: leave it out, because the outcome of another frame was written later.
        """
        frame, known, last_s = checksum(frame_id), int(self._frames[index]), int(self._written[index])
        if known and frame and frame != known:
            if written_s < last_s:
                return False
            self._frames[index], self._written[index] = frame, written_s
            return None
        self._frames[index] = frame or known
        self._written[index] = max(written_s, last_s)
        return True

    def is_same(self, index: int, frame_id: str) -> bool:
        """Whether that is the frame whose outcomes are counted, as far as both are known."""
        frame, known = checksum(frame_id), int(self._frames[index])
        return not (known and frame and frame != known)

    def suspects(self, with_outcome: NDArray[np.bool_]) -> list[int]:
        """The indexes whose frames are to be fetched; each is told once."""
        indexes = np.flatnonzero(with_outcome & (self._frames != 0))
        if not len(indexes):
            return []
        back_s = -np.diff(self._written[indexes].astype(np.int64))
        steps = np.flatnonzero(back_s > BACK_S)
        largest = steps[np.argsort(back_s[steps])[::-1][: MAX_SUSPECTS - 1]]
        found = {int(indexes[0]), *(int(index) for index in indexes[largest + 1])}
        return sorted(index for index in found if not self._fetched[index])

    def was_fetched(self, index: int) -> bool:
        return bool(self._fetched[index])

    def is_of_another(self, index: int, frame_id: str) -> bool:
        """Whether what was counted there is the outcome of another frame than the one that was fetched."""
        self._fetched[index] = True
        known, frame = int(self._frames[index]), checksum(frame_id)
        is_other = bool(known and frame and known != frame)
        if is_other:
            self._frames[index] = self._written[index] = 0
        return is_other


def checksum(frame_id: str) -> int:
    """0 where the id is not known."""
    return max(1, crc32(frame_id.encode())) if frame_id else 0
