"""Whole histories of sinks on one target: labels, kills, stops, busy targets, rebalances, refused commits."""

from dataclasses import dataclass

from hypothesis import strategies as st

from schemas.coordinates import TopicPartition
from tests.support.label_log import TOPIC, LabelLog, Letters, SinkRun
from tests.support.sink_target import Killed, KilledSink, SinkTarget


@dataclass(frozen=True)
class Step:
    """One event in the life of a sink. The meaning of the other fields depends on `what`."""

    what: str
    partition: int
    number: int
    flag: bool


WINDOW_OFFSETS = 4
STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(
            [
                *["put", "turn"] * 6,
                *["busy", "lose"] * 2,
                "bad",
                "kill add",
                "kill flush",
                "crash",
                "stop",
                "commits",
                "revoke",
            ]
        ),
        st.integers(0, 1),
        st.integers(1, 6),
        st.booleans(),
    ),
    min_size=30,
    max_size=80,
)


class History:
    """Runs sinks one after the other on one target and one log, and applies the steps of a history to them."""

    def __init__(self, target: SinkTarget) -> None:
        self._target = target

    def start(self, log: LabelLog) -> None:
        self._log, self._letters = log, Letters()
        self._open()

    def restart(self) -> None:
        """Open a new sink on the target, after a kill."""
        self._target.kill(self._sink)
        self._open()

    def take(self, step: Step) -> None:
        member, partition = self.run.member, TopicPartition(TOPIC, step.partition)
        match step.what:
            case "put":
                self._log.put(step.number, step.partition)
            case "bad":
                self._log.put_value(b"no label", step.partition)
            case "turn":
                for _ in range(2 * step.number):
                    self.run.turn(0.5 if step.flag else 0.0)
            case "kill add" | "kill flush":
                self._killed.arm(step.what.removeprefix("kill "), nth=step.number, after=step.flag)
            case "crash":
                raise Killed
            case "stop":
                self._target.set_busy(False)
                self.run.stop()
                self._open()
            case "busy":
                self._target.set_busy(step.flag)
            case "commits":
                member.refuses_commits = step.flag
            case "revoke" | "lose" if partition in member.assigned():
                member.revoke([partition], lost=step.what == "lose")
            case "revoke" | "lose":
                member.assign([partition])

    def _open(self) -> None:
        self._target.set_busy(False)
        self._sink = self._target.open()
        self._killed = KilledSink(self._sink)
        self.run = SinkRun(self._log, self._killed, letters=self._letters, window_offsets=WINDOW_OFFSETS)
