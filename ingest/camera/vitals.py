"""How well a camera is connected: what came, how often it stalled and was opened again. Pure: time is an argument."""

from collections import deque
from enum import StrEnum

HOUR_S = 3600.0
# More events than this in an hour make a camera unusable long before they are all counted.
MAX_EVENTS = 1_000
MIN_STALL_S = 2.0
STALL_PERIODS = 2.0


class Quality(StrEnum):
    """In the words of Frigate."""

    EXCELLENT = "excellent"
    FAIR = "fair"
    POOR = "poor"
    UNUSABLE = "unusable"


def quality_of(frames_per_s: float, expected_per_s: float, reconnects: int, stalls: int) -> Quality:
    """Frigate's rule (blakeblackshear/frigate, frigate/stats/util.py), with counts of the last hour.

    Its lower bound of one frame a second holds for cameras of which more than that is expected.
    """
    share = frames_per_s / expected_per_s if expected_per_s > 0 else 0.0
    if reconnects == 0 and share >= 0.9 and stalls < 5:
        return Quality.EXCELLENT
    if frames_per_s > 0 and reconnects <= 2 and share >= 0.6:
        return Quality.FAIR
    if reconnects > 10 or frames_per_s < min(1.0, 0.6 * expected_per_s) or stalls > 100:
        return Quality.UNUSABLE
    return Quality.POOR


class LastHour:
    """How often something happened within the last hour; at most MAX_EVENTS are counted."""

    def __init__(self) -> None:
        self._at_s: deque[float] = deque(maxlen=MAX_EVENTS)

    def add(self, now_s: float) -> None:
        self._at_s.append(now_s)

    def count(self, now_s: float) -> int:
        return sum(now_s - at_s <= HOUR_S for at_s in tuple(self._at_s))


class Vitals:
    """What one feed knows of its camera, over all its capture processes. Written by the feed, read by any thread."""

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self.expected_per_s = fps
        # Frames of the wanted rate that the camera gave, sent or not; a counter.
        self.taken = 0
        self.last_frame_s: float | None = None
        self.reconnects, self.stalls = LastHour(), LastHour()
        self._before_s: float | None = None

    def opened(self, announced_per_s: float) -> None:
        """The camera answers; it announces this rate (0: unknown). Without a frame before, no gap is a stall."""
        self.expected_per_s = min(self._fps, announced_per_s) if announced_per_s > 0 else self._fps
        self._before_s = None

    def frame(self, now_s: float, count: int = 1) -> None:
        """`count` frames came. A gap of two periods, and of two seconds, was a stall, as Frigate counts it."""
        limit_s = max(MIN_STALL_S, STALL_PERIODS / self.expected_per_s)
        if self._before_s is not None and now_s - self._before_s > limit_s:
            self.stalls.add(now_s)
        self._before_s = self.last_frame_s = now_s
        self.taken += count

    def lost(self, now_s: float, *, stalled: bool) -> None:
        """The capture ended and is opened again; `stalled`: the watchdog ended it."""
        self.reconnects.add(now_s)
        if stalled:
            self.stalls.add(now_s)
