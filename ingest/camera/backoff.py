"""How long to wait before the next attempt. Pure: time and the random generator are arguments.

Full jitter: the delay is a uniform draw from zero to a ceiling that doubles. Fifty cameras behind one dead switch are
then not all tried at the same moment, and cheap cameras do not run out of RTSP sessions.
"""

import random
from dataclasses import dataclass, field

# With a shorter delay, a capture process that dies at once would be started in a tight loop.
MIN_DELAY_S = 0.1


@dataclass
class Backoff:
    """Delays after failures in a row; a healthy stretch of `reset_after_s` starts again from `initial_s`."""

    initial_s: float = 1.0
    max_s: float = 60.0
    reset_after_s: float = 60.0
    rng: random.Random = field(default_factory=random.Random)
    failures: int = 0

    def ceiling_s(self) -> float:
        """The longest delay that the next failure can lead to."""
        return min(self.max_s, self.initial_s * 2.0 ** min(self.failures, 32))

    def failed(self, healthy_s: float) -> float:
        """Count a failure that came after `healthy_s` seconds of frames; returns the delay before the next attempt."""
        if healthy_s >= self.reset_after_s:
            self.failures = 0
        ceiling_s = self.ceiling_s()
        self.failures += 1
        return max(min(MIN_DELAY_S, self.max_s), self.rng.uniform(0.0, ceiling_s))
