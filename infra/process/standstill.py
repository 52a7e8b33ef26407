"""How long something has made no progress: the measure that every watchdog uses. Pure."""

# A gap between two looks counts for at most this long. A longer gap means that the whole process was suspended
# (SIGSTOP, a laptop asleep) or that nothing was watched meanwhile, and neither is a lack of progress.
MAX_STEP_MS = 5_000


class Standstill:
    """Adds up the time between looks, each gap limited, so that time in which nobody looked hardly counts."""

    def __init__(self) -> None:
        self._waited_ms = 0.0
        self._last_ms: float | None = None

    def look(self, moving: bool, now_ms: float) -> float:
        """Milliseconds since the look at which it last made progress; 0 when `moving` says that it does now."""
        step_ms = 0.0 if self._last_ms is None else min(now_ms - self._last_ms, MAX_STEP_MS)
        self._waited_ms = 0.0 if moving else self._waited_ms + step_ms
        self._last_ms = now_ms
        return self._waited_ms
