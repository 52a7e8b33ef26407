"""Quantiles of latencies in constant memory. Pure."""

import math

# The bounds of a bucket differ by this factor, so a quantile is accurate to 2.5 %.
_STEP = 1.05
_MIN_MS, _MAX_MS = 0.1, 3_600_000.0
_BUCKETS = math.ceil(math.log(_MAX_MS / _MIN_MS, _STEP)) + 1


class LatencyHistogram:
    """Counts latencies from 0.1 ms to one hour. A smaller or larger latency counts as the nearest bound."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0

    def add(self, latency_ms: float) -> None:
        clamped = min(max(latency_ms, _MIN_MS), _MAX_MS)
        self._counts[int(math.log(clamped / _MIN_MS, _STEP))] += 1
        self.count += 1

    def quantile_ms(self, share: float) -> float | None:
        """The latency that this share of all latencies does not exceed; None while there are none."""
        if not self.count:
            return None
        wanted, seen = math.ceil(share * self.count), 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= max(1, wanted):
                return float(_MIN_MS * _STEP ** (index + 0.5))
        raise AssertionError("the counts add up to count")
