"""The contract suite of sinks (`sinks.base.contract`): tests with the real loop on a labels topic in memory.

A subclass defines how to open its sink on a target that outlives the sink, how to kill the process of the sink, and
which labels the target contains (`sink_target.SinkTarget`). It calls `each_label_is_stored_once` in its own property
test.
"""

import pytest

from schemas import headers
from schemas.errors import Stalled
from tests.support.label_log import DeadLetterLog, LabelLog, SinkRun
from tests.support.sink_histories import WINDOW_OFFSETS, History, Step
from tests.support.sink_rebalances import SinkRebalances
from tests.support.sink_target import ONE, TWO, Killed, KilledSink


class SinkContract(SinkRebalances):
    """The tests of the suite, with those of `SinkRebalances`."""

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
        log, dead_letters = LabelLog(), DeadLetterLog()
        places = [log.put(0)]
        bad = log.put_value(b"\xff\xd8 a photo")
        places.append(log.put(1))
        run = SinkRun(log, self.open(), dead_letters=dead_letters)
        run.turn_until_idle()
        run.stop()
        self.expect(places)
        assert log.committed[ONE] == 3
        (letter,) = dead_letters.written
        told = headers.to_map(letter.headers)
        assert (letter.topic, letter.key, letter.value) == ("labels.dead", b"dock-1", b"\xff\xd8 a photo")
        assert told[headers.ERROR_STAGE] == f"sink-{run.sink.name}".encode()
        assert told[headers.ERROR_CLASS] == b"not_avro"
        assert (told[headers.ORIGIN_TOPIC], told[headers.ORIGIN_OFFSET]) == (b"labels", str(bad.offset).encode())

    def test_a_label_of_a_newer_version_waits_for_a_newer_sink(self) -> None:
        log, dead_letters = LabelLog(), DeadLetterLog()
        places = [log.put(0)]
        log.put_value(b"\xc3\x01" + bytes(20))
        places.append(log.put(1))
        sink = self.open()
        run = SinkRun(log, sink, dead_letters=dead_letters)
        with pytest.raises(Stalled, match="labels/0 offset 1 has a schema version that this sink does not know"):
            run.turn_until_idle()
        assert (log.committed[ONE], dead_letters.written) == (0, [])
        sink.close()
        run = SinkRun(log, self.open(), dead_letters=dead_letters, pass_over=["0/1"])
        run.turn_until_idle()
        run.stop()
        self.expect(places)
        assert (log.committed[ONE], len(dead_letters.written)) == (3, 1)

    def test_nothing_is_committed_past_a_dead_letter_that_is_not_acknowledged(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sinks.base.loop.DEAD_LETTERS_S", 0.0)
        log, dead_letters = LabelLog(), DeadLetterLog()
        places = [log.put(0)]
        log.put_value(b"no label")
        dead_letters.is_away = True
        sink = self.open()
        run = SinkRun(log, sink, dead_letters=dead_letters)
        for _ in range(20):
            run.turn()
        assert log.committed[ONE] == 0
        dead_letters.is_away = False
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

    def each_label_is_stored_once(self, steps: list[Step]) -> None:
        """A subclass calls this in its own property test, with `@given(STEPS)`."""
        self.reset()
        log, history = LabelLog(), History(self)
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
