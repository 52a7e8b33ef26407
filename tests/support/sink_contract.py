"""What every sink promises (`sinks.base.contract`), tried through the real loop on a labels topic in memory.

A subclass says how its sink is opened on a target that stays, how its process is killed, and what the target holds.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st

from schemas import headers
from schemas.coordinates import Coordinates, TopicPartition
from sinks.base.contract import Row, Sink
from tests.support.label_log import TOPIC, LabelLog, Letters, SinkRun

ONE, TWO = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


class Killed(BaseException):
    """The process ends here: nothing of it runs any more."""


class KilledSink:
    """A sink whose process is killed at the nth call of one of its methods, before or after that call."""

    def __init__(self, sink: Sink, method: str = "", *, nth: int = 1, after: bool = False) -> None:
        self._sink = sink
        self.name = sink.name
        self.arm(method, nth=nth, after=after)

    def arm(self, method: str, *, nth: int, after: bool) -> None:
        self._method, self._left, self._after = method, nth, after

    def setup(self, log_id: str) -> None:
        self._sink.setup(log_id)

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._sink.positions(partitions)

    def add(self, row: Row) -> None:
        self._kill("add", lambda: self._sink.add(row))

    def flush(self, positions: Mapping[TopicPartition, int]) -> None:
        self._kill("flush" if positions else "idle", lambda: self._sink.flush(positions))

    def discard(self) -> None:
        self._sink.discard()

    def close(self) -> None:
        self._sink.close()

    def _kill(self, method: str, call: Callable[[], None]) -> None:
        self._left -= method == self._method
        is_due = self._left == 0 and method == self._method
        if is_due and not self._after:
            raise Killed
        call()
        if is_due:
            raise Killed


@dataclass(frozen=True)
class Step:
    """One thing that happens to a sink. What the numbers mean depends on what it is."""

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


class SinkContract(ABC):
    """`is_exactly_once` is False for a target that stores no positions and cannot upsert: then at least once holds."""

    is_exactly_once = True

    @abstractmethod
    def reset(self) -> None:
        """A new, empty target; called before every test and every example of one."""

    @abstractmethod
    def open(self) -> Sink:
        """A new sink, as a new process makes it, on the target of this test."""

    @abstractmethod
    def kill(self, sink: Sink) -> None:
        """What the end of the process frees, such as locks; nothing else."""

    @abstractmethod
    def stored(self) -> list[Coordinates]:
        """The places of the labels that the target holds for certain."""

    @abstractmethod
    def set_busy(self, is_busy: bool) -> None:
        """The target takes nothing, or takes labels again."""

    # -- helpers

    @pytest.fixture(autouse=True)
    def _new_target(self) -> None:
        self.reset()

    def expect(self, places: Collection[Coordinates]) -> None:
        if self.is_exactly_once:
            assert sorted(map(str, self.stored())) == sorted(map(str, places))
        else:
            assert Counter(self.stored()) >= Counter(places)
            assert set(self.stored()) == set(places)

    def restarted(self, log: LabelLog, sink: Sink, **options: int) -> SinkRun:
        self.kill(sink)
        run = SinkRun(log, self.open(), **options)  # type: ignore[arg-type]
        run.turn_until_idle()
        return run

    # -- the promises

    def test_every_label_is_stored_and_committed_behind(self) -> None:
        log = LabelLog()
        places = [log.put(frame, frame % 2) for frame in range(10)]
        run = SinkRun(log, self.open())
        run.turn_until_idle()
        run.stop()
        self.expect(places)
        assert log.committed == {ONE: 5, TWO: 5}
        assert run.loop.waiting_for() is None

    def test_a_stop_flushes_what_was_read(self) -> None:
        log = LabelLog()
        run = SinkRun(log, self.open(), max_rows=100)
        run.begin()
        places = [log.put(frame) for frame in range(4)]
        for _ in places:
            run.turn(0)
        assert log.committed == {ONE: 0, TWO: 0}, "a partition without a label has a committed offset, too"
        run.stop()
        self.expect(places)
        assert log.committed == {ONE: 4, TWO: 0}

    @pytest.mark.parametrize("method", ["add", "flush"])
    @pytest.mark.parametrize("nth", [1, 2, 4])
    @pytest.mark.parametrize("after", [False, True])
    def test_killed_between_any_two_steps(self, method: str, nth: int, after: bool) -> None:
        log = LabelLog()
        places = [log.put(frame, frame % 2) for frame in range(14)]
        sink = self.open()
        run = SinkRun(log, KilledSink(sink, method, nth=nth, after=after))
        with pytest.raises(Killed):
            run.turn_until_idle()
        assert sum(log.committed.values()) <= len(self.stored())
        self.restarted(log, sink).stop()
        self.expect(places)
        assert log.committed == {ONE: 7, TWO: 7}

    def test_a_commit_that_is_refused_doubles_nothing(self) -> None:
        log = LabelLog()
        places = [log.put(frame) for frame in range(7)]
        sink = self.open()
        run = SinkRun(log, sink)
        run.member.refuses_commits = True
        run.turn_until_idle()
        assert log.committed == {}
        places.append(log.put(7))
        self.restarted(log, sink).stop()
        self.expect(places)
        assert log.committed[ONE] == 8

    def test_a_busy_target_pauses_and_loses_nothing(self) -> None:
        log = LabelLog()
        sink = self.open()
        run = SinkRun(log, sink)
        run.turn_until_idle()
        places = [log.put(frame) for frame in range(9)]
        self.set_busy(True)
        for _ in range(100):
            run.turn()
        assert run.member.is_paused and run.member.polls_while_paused > 50
        assert "waiting for the target" in str(run.loop.waiting_for())
        assert (self.stored(), log.committed[ONE]) == ([], 0)
        self.set_busy(False)
        for _ in range(100):
            run.turn()
        self.expect(places)
        assert (log.committed[ONE], run.loop.waiting_for()) == (9, None)
        run.stop()

    def test_a_busy_target_that_is_killed_too(self) -> None:
        log = LabelLog()
        places = [log.put(frame) for frame in range(5)]
        sink = self.open()
        run = SinkRun(log, sink)
        self.set_busy(True)
        for _ in range(30):
            run.turn()
        self.set_busy(False)
        self.restarted(log, sink).stop()
        self.expect(places)

    def test_bytes_that_are_no_label_go_to_labels_dead_and_hold_nothing_up(self) -> None:
        log, letters = LabelLog(), Letters()
        places = [log.put(0)]
        bad = log.put_value(b"\xff\xd8 a photo")
        places.append(log.put(1))
        run = SinkRun(log, self.open(), letters=letters)
        run.turn_until_idle()
        run.stop()
        self.expect(places)
        assert log.committed[ONE] == 3
        (letter,) = letters.written
        told = headers.to_map(letter.headers)
        assert (letter.topic, letter.key, letter.value) == ("labels.dead", b"dock-1", b"\xff\xd8 a photo")
        assert told[headers.ERROR_STAGE] == f"sink-{run.sink.name}".encode()
        assert told[headers.ERROR_CLASS] == b"not_avro"
        assert (told[headers.ORIGIN_TOPIC], told[headers.ORIGIN_OFFSET]) == (b"labels", str(bad.offset).encode())

    def test_nothing_is_committed_past_a_dead_letter_that_is_not_acknowledged(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sinks.base.loop.DEAD_LETTERS_S", 0.0)
        log, letters = LabelLog(), Letters()
        places = [log.put(0)]
        log.put_value(b"no label")
        letters.is_away = True
        sink = self.open()
        run = SinkRun(log, sink, letters=letters)
        for _ in range(20):
            run.turn()
        assert log.committed[ONE] == 0
        letters.is_away = False
        self.restarted(log, sink).stop()
        self.expect(places)
        assert log.committed[ONE] == 2

    def test_a_second_label_of_a_frame_is_left_out_also_across_a_crash(self) -> None:
        log = LabelLog()
        places = [log.put(frame) for frame in (0, 1, 2, 3)]
        log.put(1)
        sink = self.open()
        run = SinkRun(log, sink)
        run.turn_until_idle()
        log.put(2)
        places.append(log.put(4))
        places.append(log.put(2, replay_id="run-1"))
        self.restarted(log, sink).stop()
        self.expect(places)
        assert log.committed[ONE] == 8

    def test_labels_that_were_stored_and_come_again(self) -> None:
        log = LabelLog()
        places = [log.put(frame, frame % 2) for frame in range(8)]
        sink = self.open()
        SinkRun(log, sink).turn_until_idle()
        log.committed.clear()
        self.restarted(log, sink).stop()
        self.expect(places)

    def test_a_revoked_partition_is_flushed_and_committed_first(self) -> None:
        log = LabelLog()
        sink = self.open()
        run = SinkRun(log, sink, max_rows=100)
        run.begin()
        places = [log.put(frame, frame % 2) for frame in range(6)]
        for _ in places:
            run.turn(0)
        run.member.revoke([TWO])
        assert log.committed == {ONE: 3, TWO: 3}
        self.expect(places)
        log.put(9, 1)
        run.turn_until_idle()
        assert log.committed[TWO] == 3
        run.stop()

    def test_a_lost_partition_is_neither_stored_nor_committed(self) -> None:
        log = LabelLog()
        sink = self.open()
        run = SinkRun(log, sink, max_rows=100)
        run.begin()
        places = [log.put(frame, frame % 2) for frame in range(6)]
        for _ in places:
            run.turn(0)
        run.member.revoke([TWO], lost=True)
        run.turn_until_idle()
        self.expect([place for place in places if place.partition == 0])
        assert log.committed == {ONE: 3, TWO: 0}
        run.member.assign([TWO])
        run.turn_until_idle()
        run.stop()
        self.expect(places)

    def test_a_partition_that_is_lost_while_the_target_is_busy_comes_again_whole(self) -> None:
        log = LabelLog()
        run = SinkRun(log, self.open())
        run.turn_until_idle()
        places = [log.put(frame, frame % 2) for frame in range(4)]
        self.set_busy(True)
        for _ in range(20):
            run.turn()
        run.member.revoke([TWO], lost=True)
        run.member.assign([TWO])
        self.set_busy(False)
        for _ in range(60):
            run.turn()
        run.stop()
        self.expect(places)
        assert log.committed == {ONE: 2, TWO: 2}

    def test_what_another_member_stored_meanwhile_is_not_stored_here(self) -> None:
        log = LabelLog()
        places = [log.put(frame, 1) for frame in range(4)]
        sink = self.open()
        run = SinkRun(log, sink)
        run.turn_until_idle()
        run.member.revoke([TWO])
        for frame in range(4, 8):
            log.put(frame, 1)
        log.committed[TWO] = 8
        places.append(log.put(8, 1))
        run.member.assign([TWO])
        run.turn_until_idle()
        run.stop()
        self.expect(places)

    def test_a_topic_that_was_made_again_is_stored_from_its_beginning(self) -> None:
        log = LabelLog()
        places = [log.put(frame) for frame in range(5)]
        sink = self.open()
        SinkRun(log, sink).turn_until_idle()
        again = LabelLog(log_id="cluster/topic-2")
        places += [again.put(frame) for frame in range(100, 103)]
        self.restarted(again, sink).stop()
        self.expect(places)

    def test_what_retention_has_taken_is_skipped(self) -> None:
        log = LabelLog()
        places = [log.put(frame) for frame in range(6)]
        log.committed[ONE], log.firsts[ONE] = 1, 4
        run = SinkRun(log, self.open())
        run.turn_until_idle()
        run.stop()
        self.expect(places[4:])
        assert log.committed[ONE] == 6

    def each_label_is_stored_once(self, steps: list[Step]) -> None:
        """A subclass calls it from a property test of its own, `@given(STEPS)`."""
        self.reset()
        log, history = LabelLog(), _History(self)
        history.start(log)
        for step in steps:
            try:
                history.take(step)
            except Killed:
                history.restart()
        self.set_busy(False)
        history.restart()
        history.run.turn_until_idle()
        history.run.stop()
        self.expect(log.distinct(WINDOW_OFFSETS))
        assert log.committed == {one: len(records) for one, records in log.records.items()}

    def test_what_was_only_added_is_dropped_by_discard_and_by_close(self) -> None:
        log = LabelLog(1)
        log.put(0)
        sink = self.open()
        run = SinkRun(log, KilledSink(sink, "flush"))
        with pytest.raises(Killed):
            run.turn_until_idle()
        sink.discard()
        sink.flush({})
        assert self.stored() == []
        sink.close()
        assert self.stored() == []


class _History:
    """Sinks one after the other on one target and one log, with what happens to them."""

    def __init__(self, contract: SinkContract) -> None:
        self._contract = contract

    def start(self, log: LabelLog) -> None:
        self._log, self._letters = log, Letters()
        self._open()

    def restart(self) -> None:
        """After a kill."""
        self._contract.kill(self._sink)
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
                self._contract.set_busy(False)
                self.run.stop()
                self._open()
            case "busy":
                self._contract.set_busy(step.flag)
            case "commits":
                member.refuses_commits = step.flag
            case "revoke" | "lose" if partition in member.assigned():
                member.revoke([partition], lost=step.what == "lose")
            case "revoke" | "lose":
                member.assign([partition])

    def _open(self) -> None:
        self._contract.set_busy(False)
        self._sink = self._contract.open()
        self._killed = KilledSink(self._sink)
        self.run = SinkRun(self._log, self._killed, letters=self._letters, window_offsets=WINDOW_OFFSETS)
