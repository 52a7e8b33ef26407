"""What was seen of one partition of a group during the last minutes. Pure.

Burrow's window is a number of commits: hours for a quiet topic, a second for a busy one. This one is a time, and each
sample compares the committed offset with the end offset of the same look. Whatever the evaluator asks for is kept up to
date as samples come and go, so that ten thousand partitions are judged in a fraction of a second.
"""

from collections import deque
from dataclasses import dataclass

WINDOW_S = 300.0
MAX_SAMPLES = 30
# The first looks are all kept: two of them make a rate.
FIRST_SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a partition. The committed offset is asked for first, then the ends: the lag is never negative.

    `committed` is None where the group never committed. `end` is the last stable offset where the group reads
    committed records only: behind it a transaction is open. `start` is the first offset that the log still holds.
    """

    at_s: float
    committed: int | None
    start: int
    end: int

    @property
    def unread(self) -> int:
        """The offset of the oldest record that waits."""
        return max(self.start, self.committed or 0)

    @property
    def lag(self) -> int:
        """Records that wait: those that the log holds and the group has not committed."""
        return max(0, self.end - self.unread)

    @property
    def lost(self) -> int:
        """Records that retention removed before the group had committed them."""
        return 0 if self.committed is None else max(0, self.start - self.committed)


class Slope:
    """The least-squares slope of (seconds, value) points that come at one end and go at the other."""

    def __init__(self) -> None:
        self._count = 0
        self._x = self._y = self._xx = self._xy = 0.0

    def add(self, x: float, y: float) -> None:
        self._move(x, y, 1)

    def remove(self, x: float, y: float) -> None:
        self._move(x, y, -1)

    @property
    def per_s(self) -> float:
        """0 for fewer than two points."""
        spread = self._count * self._xx - self._x * self._x
        return (self._count * self._xy - self._x * self._y) / spread if self._count > 1 and spread > 0 else 0.0

    def _move(self, x: float, y: float, sign: int) -> None:
        self._count += sign
        self._x += sign * x
        self._y += sign * y
        self._xx += sign * x * x
        self._xy += sign * x * y


class SampleWindow:
    """The samples of the last `window_s`: about MAX_SAMPLES, one for each share of the window.

    `newest` is always the last look. A lag of `allowed_lag` or less counts as none.
    """

    def __init__(self, window_s: float = WINDOW_S, allowed_lag: int = 0) -> None:
        self._window_s, self.allowed_lag = window_s, allowed_lag
        self._samples: deque[Sample] = deque()
        self._highest: deque[tuple[int, float]] = deque()
        self._base = Sample(0.0, None, 0, 0)
        self._lag, self._end = Slope(), Slope()
        # Records a second, over the window: by which the lag grows, and that come to the partition.
        self.lag_per_s = self.written_per_s = 0.0
        self.newest: Sample | None = None
        self._still_since_s = 0.0
        self._last_low_s: float | None = None

    def add(self, sample: Sample) -> None:
        """Take a look into account. One that is not newer than the last is left out."""
        newest = self.newest
        if newest is not None and sample.at_s <= newest.at_s:
            return
        is_low = sample.lag <= self.allowed_lag
        if newest is None or is_low or newest.lag <= self.allowed_lag or sample.committed != newest.committed:
            self._still_since_s = sample.at_s
        if is_low:
            self._last_low_s = sample.at_s
        self.newest = sample
        is_due = len(self._samples) < FIRST_SAMPLES or (
            sample.at_s - self._samples[-1].at_s >= self._window_s / MAX_SAMPLES
        )
        if is_due:
            self._keep(sample)
        self._forget(sample.at_s - self._window_s)
        if is_due:
            self.lag_per_s, self.written_per_s = self._lag.per_s, self._end.per_s

    @property
    def span_s(self) -> float:
        """The time from the oldest sample to the newest."""
        return self.newest.at_s - self._samples[0].at_s if self.newest is not None else 0.0

    @property
    def still_s(self) -> float:
        """For how long the committed offset has not moved although records waited all the time."""
        return self.newest.at_s - self._still_since_s if self.newest is not None else 0.0

    @property
    def since_low_s(self) -> float:
        """The time since a look found no lag; infinite where none did."""
        return self.newest.at_s - self._last_low_s if self.newest and self._last_low_s is not None else float("inf")

    @property
    def highest_committed(self) -> int:
        """The highest committed offset of the window."""
        return self._highest[0][0] if self._highest else 0

    def _keep(self, sample: Sample) -> None:
        # Small numbers: sums of squares of times and offsets as they are would lose digits.
        if not self._samples:
            self._base = sample
        self._samples.append(sample)
        x = sample.at_s - self._base.at_s
        self._lag.add(x, sample.lag)
        self._end.add(x, sample.end - self._base.end)
        committed = sample.committed or 0
        while self._highest and self._highest[-1][0] <= committed:
            self._highest.pop()
        self._highest.append((committed, sample.at_s))

    def _forget(self, before_s: float) -> None:
        while len(self._samples) > 1 and self._samples[0].at_s < before_s:
            old = self._samples.popleft()
            x = old.at_s - self._base.at_s
            self._lag.remove(x, old.lag)
            self._end.remove(x, old.end - self._base.end)
        while len(self._highest) > 1 and self._highest[0][1] < before_s:
            self._highest.popleft()
