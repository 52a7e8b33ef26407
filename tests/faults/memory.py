"""How much memory a process uses, and whether that grows. Pure."""

from dataclasses import dataclass, field
from itertools import groupby

# A new process grows while it loads code and fills arenas and caches. That is no leak, so this time is left out.
_WARM_UP_S, _WARM_UP_SHARE = 30.0, 0.5
_MIN_SAMPLES = 20
_MIB = 1024 * 1024


@dataclass
class MemoryTrack:
    """Samples of (life, time, bytes). A life is the time of one process, from its start to its end."""

    samples: list[tuple[int, float, int]] = field(default_factory=list)

    def add(self, life: int, now_s: float, rss_bytes: int) -> None:
        self.samples.append((life, now_s, rss_bytes))

    @property
    def max_mib(self) -> float:
        return max((rss for _, _, rss in self.samples), default=0) / _MIB

    def slope_mib_per_min(self) -> float | None:
        """Least squares over the second half of the longest life; None when no life was long enough."""
        lives = [list(samples) for _, samples in groupby(self.samples, key=lambda sample: sample[0])]
        longest = _warm(max(lives, key=len, default=[]))
        if len(longest) < _MIN_SAMPLES:
            return None
        mean_s = sum(at for at, _ in longest) / len(longest)
        mean_rss = sum(rss for _, rss in longest) / len(longest)
        spread = sum((at - mean_s) ** 2 for at, _ in longest)
        covariance = sum((at - mean_s) * (rss - mean_rss) for at, rss in longest)
        return covariance / spread * 60 / _MIB


def _warm(life: list[tuple[int, float, int]]) -> list[tuple[float, int]]:
    """(time, bytes) of that life, without the time in which it warmed up."""
    if not life:
        return []
    born_s = life[0][1]
    warm_s = born_s + max(_WARM_UP_S, (life[-1][1] - born_s) * _WARM_UP_SHARE)
    return [(at, rss) for _, at, rss in life if at >= warm_s]
