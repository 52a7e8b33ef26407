"""The watchdog's rule: frames wait and nothing is finished for too long. Pure; `streams.monitor` asks it.

Faust and aiokafka are known to stop consuming without an error while the process lives on (faust-streaming/faust#175,
aio-libs/aiokafka#1154), so progress is judged by what comes out and by what the broker says, not by being alive.
"""

from dataclasses import dataclass

# Looks are a second apart. A longer gap means that the whole process was stopped, which is nobody's standstill.
MAX_STEP_MS = 5_000


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen at one moment: `lag` waits for us on the broker, `progress` grows with what is finished."""

    taken: int
    lag: int
    progress: int
    may_wait: bool


class Standstill:
    """For how long something has not moved, over the looks taken at it."""

    def __init__(self) -> None:
        self._waited_ms = 0.0
        self._last_ms: float | None = None

    def look(self, moving: bool, now_ms: float) -> float:
        """Milliseconds since the look at which it last moved; 0 while it moves."""
        step_ms = 0.0 if self._last_ms is None else min(now_ms - self._last_ms, MAX_STEP_MS)
        self._waited_ms = 0.0 if moving else self._waited_ms + step_ms
        self._last_ms = now_ms
        return self._waited_ms


class Watchdog:
    """Remembers since when nothing moved though something should."""

    def __init__(self, stall_timeout_ms: float) -> None:
        self._timeout_ms = stall_timeout_ms
        self._progress = -1
        self._standstill = Standstill()

    def stalled(self, sight: Sight, now_ms: float) -> str | None:
        """None while all is well, else the sentence that the process must end with."""
        moved = sight.progress != self._progress
        self._progress = sight.progress
        waits = bool(sight.taken or sight.lag) and not sight.may_wait
        waited_ms = self._standstill.look(moved or not waits, now_ms)
        if waited_ms < self._timeout_ms:
            return None
        return (
            f"nothing was finished for {waited_ms / 1000:.0f} s while {sight.taken} frames are under way and "
            f"{sight.lag} wait in the topic: the process ends so that it is started again"
        )
