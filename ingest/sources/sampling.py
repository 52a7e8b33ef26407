"""Which frames of a camera are taken at `fps`, and when its silence counts as a stall. Pure: time is an argument."""

from dataclasses import dataclass

MIN_STALL_S = 5.0
# A capture process whose own read time-out ends says why it failed, so the watchdog waits this much longer.
STALL_MARGIN_S = 2.0
STALL_PERIODS = 10.0
# A camera without a picture for this long, and for this many of its turns, is failing.
MIN_FAILING_S = 5.0
FAILING_TURNS = 3.0
# Announced rates outside this range are artefacts of the container (90,000 for RTP, 0 for MJPEG).
SANE_RATE_PER_S = (0.05, 240.0)


@dataclass
class Sampler:
    """Takes the frame that is nearest to each point of a grid of 1/fps seconds.

    Promises at most `fps * T + 2` frames in any T seconds (the generic cell rate algorithm, ITU-T I.371, with a
    tolerance of one period), and every frame of a camera that is no faster than `fps` and steady to a quarter of its
    period: at fps 30 a camera that really gives 29.9 loses nothing. A gap in the source is not followed by a burst.
    """

    fps: float
    _due_s: float | None = None
    _earliest_s: float = 0.0
    _last_s: float = 0.0
    _interval_s: float = 0.0

    def take(self, now_s: float) -> bool:
        """True if the frame that came at `now_s` is to be published; a clock that jumps back starts a new grid."""
        period_s = 1.0 / self.fps
        if self._due_s is None or now_s < self._last_s:
            self._due_s, self._last_s, self._interval_s = now_s + period_s, now_s, 0.0
            self._earliest_s = now_s
            return True
        self._observe(now_s, period_s)
        # The next frame is expected one interval later: take this one if it is nearer to the grid point than that.
        # After a late frame the nearest one may come so early that the promised limit would be exceeded.
        if now_s + self._interval_s / 2 < self._due_s or now_s < self._earliest_s:
            return False
        late_s = now_s - self._due_s
        self._due_s = self._due_s + period_s if late_s < period_s else now_s + period_s
        self._earliest_s = max(self._earliest_s + period_s, now_s)
        return True

    def _observe(self, now_s: float, period_s: float) -> None:
        interval_s = min(now_s - self._last_s, period_s)
        self._interval_s = interval_s if not self._interval_s else 0.8 * self._interval_s + 0.2 * interval_s
        self._last_s = now_s


def failing_after_s(fps: float) -> float:
    """Seconds of answers without a picture after which a camera that is asked `fps` times a second is failing."""
    return max(MIN_FAILING_S, FAILING_TURNS / fps)


def stall_limit_s(expected_per_s: float, patience_s: float) -> float:
    """Seconds without a frame that count as a stall: the longest of 5 s, 10 frame periods, and `patience_s` + 2 s.

    `patience_s`: how long the reader itself waits before it says that the source does not answer.
    """
    periods_s = STALL_PERIODS / expected_per_s if expected_per_s > 0 else 0.0
    return max(MIN_STALL_S, periods_s, patience_s + STALL_MARGIN_S)


def sane_rate(announced_per_s: float) -> float:
    """The announced frame rate, or 0 (unknown) where it is out of range."""
    low, high = SANE_RATE_PER_S
    return announced_per_s if low <= announced_per_s <= high else 0.0
