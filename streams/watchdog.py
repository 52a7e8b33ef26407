"""The watchdog's rule: frames wait and nothing is finished for too long. Pure; `streams.monitor` asks it.

Faust and aiokafka are known to stop consuming without an error while the process lives on (faust-streaming/faust#175,
aio-libs/aiokafka#1154), so progress is judged by what comes out and by what the broker says, not by being alive.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen at one moment: `lag` waits for us on the broker, `progress` grows with what is finished."""

    taken: int
    lag: int
    progress: int
    may_wait: bool


class Watchdog:
    """Remembers since when nothing moved though something should."""

    def __init__(self, stall_timeout_ms: float, now_ms: float) -> None:
        self._timeout_ms = stall_timeout_ms
        self._progress = -1
        self._since_ms = now_ms

    def stalled(self, sight: Sight, now_ms: float) -> str | None:
        """None while all is well, else the sentence that the process must end with."""
        moved = sight.progress != self._progress
        self._progress = sight.progress
        if moved or sight.may_wait or not (sight.taken or sight.lag):
            self._since_ms = now_ms
        waited_ms = now_ms - self._since_ms
        if waited_ms < self._timeout_ms:
            return None
        return (
            f"nothing was finished for {waited_ms / 1000:.0f} s while {sight.taken} frames are under way and "
            f"{sight.lag} wait in the topic: the process ends so that it is started again"
        )
