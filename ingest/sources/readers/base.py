"""The protocol of an open source, as the capture loop uses it. Imported in capture processes only."""

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

# A paced source that is later than this moves its schedule, instead of sending a burst to catch up.
MAX_CATCH_UP_S = 1.0


class SourceFault(Exception):
    """The source does not answer, or no longer; the message is a sentence. The agent waits and opens it again.

    `wait_s`: how long the camera asked to be left alone.
    """

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        self.wait_s = wait_s
        super().__init__(why)


class ImageRefused(Exception):
    """One image that cannot be sent; the source goes on. `reason` is the label of the drop metric."""

    def __init__(self, reason: str, name: str, detail: str) -> None:
        self.reason, self.name, self.detail = reason, name, detail
        super().__init__(f"{name}: {detail}")


class PictureMissed(Exception):
    """One request that brought no picture; the source is asked again at its next turn.

    `reason` is the label of the drop metric, `why` a sentence. `wait_s`: how long the camera asked to be left alone.
    """

    def __init__(self, reason: str, why: str, wait_s: float = 0.0) -> None:
        self.reason, self.why, self.wait_s = reason, why, wait_s
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class CapturedImage:
    """Either `pixels` (BGR), which are still to be encoded, or `data`: the bytes of an image, unchanged."""

    pixels: Pixels | None = None
    data: bytes = b""
    name: str = ""


class FrameReader(Protocol):
    """A source that is open. `expected_per_s`: how often `grab` should return, for the watchdog (0 = unknown).

    `paced`: it keeps to the requested rate by itself, so its frames are not sampled. `skipped`: how many frames the
    first `grab` has passed over so far, because earlier processes delivered them. `damaged`: how many packets could not
    be decoded to a frame. `live`: it is a camera, and not a file that ends. `patience_s`: the longest time that `grab`
    and `retrieve` take together where the source does not answer. `replaced`: how many frames newer ones replaced
    before they were grabbed. `jumps`: how often its time stamps jumped.
    """

    expected_per_s: float
    live: bool
    patience_s: float
    paced: bool
    skipped: int
    damaged: int
    replaced: int
    jumps: int

    def grab(self) -> float | None:
        """Wait for the next frame; its time in seconds, for sampling. None at the end. Raises SourceFault."""

    def retrieve(self) -> CapturedImage | None:
        """The image of the grabbed frame; None where it cannot be decoded.

        Raises ImageRefused, PictureMissed, SourceFault.
        """


class Pace:
    """Sleeps until each frame is due; the schedule begins with the first call.

    `shifts`: the schedule moves when the caller falls far behind. Otherwise it stays, and the caller leaves frames out.
    """

    def __init__(self, shifts: bool) -> None:
        self._shifts = shifts
        self._start_s: float | None = None

    def wait_until(self, offset_s: float) -> float:
        """Sleep until `offset_s` after the start, or not at all where that is past; returns how late it is."""
        now_s = time.monotonic()
        if self._start_s is None:
            self._start_s = now_s - offset_s
        late_s = now_s - (self._start_s + offset_s)
        if late_s < 0:
            time.sleep(-late_s)
            return 0.0
        if self._shifts and late_s > MAX_CATCH_UP_S:
            self._start_s += late_s
        return late_s
