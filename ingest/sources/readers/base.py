"""What every open source looks like to the capture loop. Capture processes only."""

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

# Further behind than this, a paced source goes on from now instead of hurrying after the clock.
MAX_CATCH_UP_S = 1.0


class SourceFault(Exception):
    """The source does not answer, or has stopped to: a sentence. The agent waits and opens it anew."""


class Refused(Exception):
    """One image that cannot be sent; the source goes on. `reason` is a drop reason of the metrics catalogue."""

    def __init__(self, reason: str, name: str, detail: str) -> None:
        self.reason, self.name, self.detail = reason, name, detail
        super().__init__(f"{name}: {detail}")


@dataclass(frozen=True, slots=True)
class Picture:
    """Either pixels (BGR), to be encoded, or the bytes of an image as they are."""

    pixels: Pixels | None = None
    data: bytes = b""
    name: str = ""


class FrameReader(Protocol):
    """A source that is open. `expected_per_s`: how often `grab` should return, for the watchdog (0 = unknown).

    `paced`: it keeps to the asked rate by itself and is not sampled. `skipped`: how many frames the first `grab` has
    passed over so far, on its way to where an earlier process was. `damaged`: how many never became a frame.
    """

    expected_per_s: float
    paced: bool
    skipped: int
    damaged: int

    def grab(self) -> float | None:
        """Wait for the next frame; its time in seconds, for sampling. None at the end. Raises SourceFault."""

    def picture(self) -> Picture | None:
        """The grabbed frame; None where it cannot be decoded. Raises Refused."""


class Pace:
    """Sleeps so that frames come at their own time, starting now.

    `shifts`: whoever falls far behind goes on from there; else the clock stays, and the caller leaves frames out.
    """

    def __init__(self, shifts: bool) -> None:
        self._shifts = shifts
        self._start_s: float | None = None

    def wait_until(self, offset_s: float) -> float:
        """Sleep until `offset_s` after the start, or not at all where that is past; how late it is then."""
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
