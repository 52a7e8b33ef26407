"""The watchdog's rule: frames wait and nothing is committed for too long. Pure; `streams.watch.monitor` asks it.

Faust and aiokafka are known to stop consuming without an error while the process lives on (faust-streaming/faust#175,
aio-libs/aiokafka#1154), so progress is judged by what is committed and by what the broker says, not by being alive. Nor
by frames that are finished: cut off from its group's coordinator, a stage could go on for ever with what others finish.
"""

from dataclasses import dataclass

from infra.process.standstill import Standstill

# A window of pictures that each take a decoder to its limit is worked on for longer than one stall time-out.
MAX_SLOWNESS = 5


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen at one moment.

    Frames taken and not committed, and how many of them are finished and wait for nothing but their commit; the lag on
    the broker; a number that grows with every commit, one that grows with every step of the work on what was taken;
    whether the workers' backlog is waited for.
    """

    taken: int
    uncommitted: int
    lag: int
    commits: int
    steps: int
    may_wait: bool


class Watchdog:
    """Remembers since when nothing moved though something should."""

    def __init__(self, stall_timeout_ms: float) -> None:
        self._timeout_ms = stall_timeout_ms
        self._seen = (-1, -1)
        self._no_commit, self._no_step, self._no_answer = Standstill(), Standstill(), Standstill()

    def stalled(self, sight: Sight, now_ms: float) -> str | None:
        """None while all is well, else the sentence that the process must end with."""
        commits, steps = self._seen
        self._seen = sight.commits, sight.steps
        moves = sight.commits != commits or not (sight.taken or sight.lag) or sight.may_wait
        waited_ms = self._no_commit.look(moves, now_ms)
        stands_ms = self._no_step.look(moves or sight.steps != steps, now_ms)
        # Hard pictures are no reason why what is finished is not committed: nobody answers the commits.
        unanswered_ms = self._no_answer.look(moves or not sight.uncommitted, now_ms)
        if max(stands_ms, unanswered_ms) < self._timeout_ms and waited_ms < MAX_SLOWNESS * self._timeout_ms:
            return None
        return (
            f"nothing was committed for {waited_ms / 1000:.0f} s while {sight.taken} frames are under way and "
            f"{sight.lag} wait in the topic: the process ends so that it is started again"
        )
