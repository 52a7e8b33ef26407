"""The rule of the watchdog: frames wait, and nothing has been committed for too long. Pure.

Faust and aiokafka are known to stop consuming without an error while the process lives on (faust-streaming/faust#175,
aio-libs/aiokafka#1154). So progress is judged by commits and by what the broker says, not by the process being alive.
Finished frames are no progress either: a stage that cannot reach its group's coordinator could go on finishing frames
that another member commits.
"""

from dataclasses import dataclass

from infra.process.standstill import Standstill

# Decoding a window of images that each take the decoder to its limits takes longer than one stall time-out.
MAX_SLOWNESS = 5


@dataclass(frozen=True, slots=True)
class WatchdogInput:
    """What the watchdog sees at one moment.

    `taken`: frames taken and not committed; `uncommitted`: those of them that are finished and only wait for their
    commit; `lag`: records that wait in the topic; `commits` and `steps`: counters that grow with every commit and with
    every step of the decoders; `may_wait`: the stage is paused because the workers are behind.
    """

    taken: int
    uncommitted: int
    lag: int
    commits: int
    steps: int
    may_wait: bool


class ProgressRule:
    """Remembers since when nothing has moved although something should."""

    def __init__(self, stall_timeout_ms: float) -> None:
        self._timeout_ms = stall_timeout_ms
        self._last = (-1, -1)
        self._no_commit, self._no_step, self._no_answer = Standstill(), Standstill(), Standstill()

    def stalled(self, seen: WatchdogInput, now_ms: float) -> str | None:
        """None while the stage makes progress, else the sentence that the process must end with."""
        commits, steps = self._last
        self._last = seen.commits, seen.steps
        moves = seen.commits != commits or not (seen.taken or seen.lag) or seen.may_wait
        waited_ms = self._no_commit.look(moves, now_ms)
        idle_ms = self._no_step.look(moves or seen.steps != steps, now_ms)
        # Slow images do not explain why finished frames are not committed: nobody answers the commits.
        unanswered_ms = self._no_answer.look(moves or not seen.uncommitted, now_ms)
        if max(idle_ms, unanswered_ms) < self._timeout_ms and waited_ms < MAX_SLOWNESS * self._timeout_ms:
            return None
        return (
            f"nothing was committed for {waited_ms / 1000:.0f} s while {seen.taken} frames are in flight and "
            f"{seen.lag} wait in the topic: the process ends so that it is started again"
        )
