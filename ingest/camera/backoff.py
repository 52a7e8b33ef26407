"""How long to wait before the next attempt: pure, time and chance are arguments.

Full jitter (a uniform draw from zero to a ceiling that doubles) keeps fifty cameras behind one dead switch
from knocking together, and cheap cameras from running out of RTSP sessions.
"""

import random
from dataclasses import dataclass, field

# Below it a child that dies at once would be started in a tight loop.
MIN_DELAY_S = 0.1


@dataclass
class Backoff:
    """Delays after failures in a row; a stretch of health starts over."""

    initial_s: float = 1.0
    max_s: float = 60.0
    reset_after_s: float = 60.0
    rng: random.Random = field(default_factory=random.Random)
    failures: int = 0

    def ceiling_s(self) -> float:
        """The longest delay that the next failure can get."""
        return min(self.max_s, self.initial_s * 2.0 ** min(self.failures, 32))

    def failed(self, healthy_s: float) -> float:
        """Count a failure that came after `healthy_s` seconds of frames; the delay before the next attempt."""
        if healthy_s >= self.reset_after_s:
            self.failures = 0
        ceiling_s = self.ceiling_s()
        self.failures += 1
        return max(min(MIN_DELAY_S, self.max_s), self.rng.uniform(0.0, ceiling_s))
