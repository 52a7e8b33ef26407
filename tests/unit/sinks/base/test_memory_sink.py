"""The contract suite with the sink in memory, and tests of labels that the target refuses."""

import pytest
from hypothesis import given

from schemas import headers
from schemas.coordinates import Coordinates
from schemas.errors import BadLabel, Busy, SinkError
from sinks.base.contract import Row, Sink
from tests.support.label_log import DeadLetterLog, LabelLog, SinkRun
from tests.support.memory_sink import MemorySink, MemoryTarget
from tests.support.sink_contract import SinkContract
from tests.support.sink_histories import STEPS, Step
from tests.support.sink_target import ONE


class TestMemorySink(SinkContract):
    def reset(self) -> None:
        self.target = MemoryTarget()

    def open(self) -> Sink:
        return MemorySink(self.target)

    def kill(self, sink: Sink) -> None:
        pass

    def stored(self) -> list[Coordinates]:
        return [row.at for row in self.target.rows]

    def set_busy(self, is_busy: bool) -> None:
        self.target.offline = offline if is_busy else lambda: None

    @given(STEPS)
    def test_whatever_happens_each_label_is_stored_once(self, steps: list[Step]) -> None:
        self.each_label_is_stored_once(steps)


def offline() -> None:
    raise Busy(0.1, "the target is away")


def refuse_odd(row: Row) -> None:
    if row.at.offset % 2:
        raise BadLabel("too_odd", "the column takes even numbers", row.at)


@pytest.mark.parametrize("checks_at_flush", [False, True])
def test_what_the_target_refuses_for_good_goes_to_labels_dead_once(checks_at_flush: bool) -> None:
    log, dead_letters, target = LabelLog(1), DeadLetterLog(), MemoryTarget(check=refuse_odd)
    for frame in range(7):
        log.put(frame)
    run = SinkRun(log, MemorySink(target, checks_at_flush=checks_at_flush), dead_letters=dead_letters, max_rows=5)
    run.turn_until_idle()
    run.stop()
    assert [row.at.offset for row in target.rows] == [0, 2, 4, 6]
    told = [headers.to_map(letter.headers) for letter in dead_letters.written]
    assert [int(one[headers.ORIGIN_OFFSET]) for one in told] == [1, 3, 5]
    assert {one[headers.ERROR_CLASS] for one in told} == {b"too_odd"}
    assert log.committed[ONE] == 7


def test_a_dead_letter_without_an_answer_is_not_sent_twice_while_the_target_is_busy() -> None:
    log, dead_letters = LabelLog(1), DeadLetterLog()
    target = MemoryTarget(check=refuse_odd, offline=offline)
    log.put(0)
    log.put(1)
    sink = MemorySink(target)
    target.offline = lambda: None
    run = SinkRun(log, sink, dead_letters=dead_letters, max_rows=2)
    run.turn(0)
    target.offline = offline
    for _ in range(20):
        run.turn()
    target.offline = lambda: None
    run.turn_until_idle()
    assert (len(dead_letters.written), len(target.rows), log.committed[ONE]) == (1, 1, 2)


def test_a_dead_letter_that_is_too_large_is_written_without_its_value() -> None:
    log, dead_letters = LabelLog(1), DeadLetterLog()
    dead_letters.limit_bytes = 10
    log.put_value(b"no label, and too large")
    run = SinkRun(log, MemorySink(MemoryTarget()), dead_letters=dead_letters)
    run.turn_until_idle()
    (letter,) = dead_letters.written
    assert letter.value is None
    assert b"23 bytes left out" in headers.to_map(letter.headers)[headers.ERROR_MESSAGE]
    assert log.committed[ONE] == 1


def test_a_sink_that_cannot_say_which_label_it_refuses_ends_the_process() -> None:
    log = LabelLog(1)
    log.put(0)

    def refuse(_row: Row) -> None:
        raise BadLabel("odd")

    run = SinkRun(log, MemorySink(MemoryTarget(check=refuse), checks_at_flush=True))
    with pytest.raises(SinkError, match="without saying which"):
        run.turn_until_idle()
    assert log.committed[ONE] == 0
