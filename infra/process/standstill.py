"""For how long something has not moved: what every watchdog goes by. Pure."""

# The longest step of the clock that counts. A longer gap between two looks means that the whole process was stopped
# (SIGSTOP, a laptop asleep), or that nothing was to be seen meanwhile, which is nobody's standstill.
MAX_STEP_MS = 5_000


class Standstill:
    """Adds up the time between looks, so that time in which nobody looked is not held against anybody."""

    def __init__(self) -> None:
        self._waited_ms = 0.0
        self._last_ms: float | None = None

    def look(self, moving: bool, now_ms: float) -> float:
        """Milliseconds since the look at which it last moved; 0 while it moves."""
        step_ms = 0.0 if self._last_ms is None else min(now_ms - self._last_ms, MAX_STEP_MS)
        self._waited_ms = 0.0 if moving else self._waited_ms + step_ms
        self._last_ms = now_ms
        return self._waited_ms
