"""How the loop handles errors of the Kafka client, and what the process around it waits for and reports."""

import pytest

from infra.kafka.consumer import PartitionFault
from infra.kafka.errors import FaultKind, KafkaFault
from infra.kafka.records import ConsumedRecord
from infra.process.lifecycle import Stop
from infra.settings import SinkSettings
from schemas.errors import Busy, ConfigError, SinkError, Stalled
from sinks.base.batch import Batch, Entry
from sinks.base.process import Status, close, wait_for_target
from tests.support.label_log import DeadLetterLog, LabelLog, SinkRun
from tests.support.memory_sink import MemorySink, MemoryTarget
from tests.support.sink_target import ONE, TWO


def fault(kind: FaultKind, name: str = "_X") -> PartitionFault:
    return PartitionFault(ONE, KafkaFault(kind, name, "what the client says"))


def running(log: LabelLog) -> tuple[SinkRun, MemoryTarget]:
    target = MemoryTarget()
    run = SinkRun(log, MemorySink(target))
    run.turn_until_idle()
    return run, target


def test_a_client_that_will_never_work_again_ends_the_sink() -> None:
    run, _ = running(LabelLog())
    run.member.faults.append(fault(FaultKind.FATAL))
    with pytest.raises(Stalled, match="what the client says"):
        run.turn()


def test_a_right_that_is_missing_ends_the_sink_with_a_sentence() -> None:
    run, _ = running(LabelLog())
    run.member.faults.append(fault(FaultKind.FORBIDDEN))
    with pytest.raises(Stalled, match="the Kafka broker refuses this user: what the client says"):
        run.turn()


def test_a_member_that_was_put_out_of_its_group_drops_what_it_has_and_starts_anew_when_it_is_back() -> None:
    log = LabelLog()
    run, target = running(log)
    log.put(0)
    run.turn(0)
    run.member.faults.append(fault(FaultKind.OUT_OF_GROUP))
    run.turn_until_idle()
    assert (target.rows, log.committed[ONE]) == ([], 0)
    run.member.assign([ONE, TWO])
    run.turn_until_idle()
    assert (len(target.rows), log.committed[ONE]) == (1, 1)


def test_a_partition_whose_offset_is_gone_begins_anew() -> None:
    log = LabelLog()
    run, target = running(log)
    for frame in range(4):
        log.put(frame)
    run.turn_until_idle()
    log.put(4)
    run.turn(0)
    run.member.faults += [fault(FaultKind.NO_OFFSET)] * 2
    run.turn_until_idle()
    run.stop()
    assert [row.at.offset for row in target.rows] == [0, 1, 2, 3, 4]
    assert log.committed[ONE] == 5


def test_what_was_read_before_retention_overtook_it_is_stored() -> None:
    log = LabelLog()
    run, target = running(log)
    for frame in range(6):
        log.put(frame)
    run.turn(0)
    run.turn(0)
    log.firsts[ONE] = 4
    run.member.faults.append(fault(FaultKind.NO_OFFSET))
    run.turn_until_idle()
    run.stop()
    assert [row.at.offset for row in target.rows] == [0, 1, 4, 5]
    assert log.committed[ONE] == 6


def test_passing_faults_are_told_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = running(LabelLog())
    told: list[str] = []
    monkeypatch.setattr("sinks.base.loop.log.warning", lambda event, **_: told.append(event))
    for _ in range(50):
        run.member.faults.append(fault(FaultKind.PASSING, "_TRANSPORT"))
        run.turn(1.0)
    run.member.faults.append(fault(FaultKind.GONE, "UNKNOWN_TOPIC_OR_PART"))
    run.turn(20.0)
    run.member.faults.append(fault(FaultKind.PASSING, "_TRANSPORT"))
    run.turn(20.0)
    assert told == ["kafka consumer error"] * 3


def test_a_sink_that_refuses_almost_everything_stops() -> None:
    log, dead_letters = LabelLog(1), DeadLetterLog()
    for _ in range(600):
        log.put_value(b"no label")
    run = SinkRun(log, MemorySink(MemoryTarget()), dead_letters=dead_letters, max_rows=100)
    with pytest.raises(Stalled, match="breaker"):
        run.turn_until_idle()
    assert 500 <= len(dead_letters.written) < 600


def test_a_batch_is_bounded_in_count_and_in_bytes() -> None:
    record = ConsumedRecord("labels", 0, 0, 0, b"dock-1", b"x" * 300, None)
    entry = Entry(record, 1, None)
    few = Batch(SinkSettings(max_batch_rows=2, flush_interval_ms=1_000))
    few.add(entry, now_s=10.0)
    assert not few.is_full() and not few.is_due(10.9)
    assert few.is_due(11.0)
    few.add(entry, now_s=10.5)
    assert few.is_full() and few.is_due(10.5)
    few.keep(lambda one: one is not entry)
    assert not few.is_full() and not few.entries
    small = Batch(SinkSettings(max_batch_bytes=entry.size_bytes + 1))
    small.add(entry, now_s=0)
    assert not small.is_full()
    small.add(entry, now_s=0)
    assert small.is_full()
    small.clear(5.0)
    assert not small.is_full() and not small.is_due(5.9) and small.is_due(6.0)


class Slow(MemorySink):
    """A sink that opens at the third attempt."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(MemoryTarget())
        self.attempts, self.error, self.is_closed = 0, error, False

    def setup(self, log_id: str) -> None:
        self.attempts += 1
        if self.error is not None:
            raise self.error
        if self.attempts < 3:
            raise Busy(0.001, "the database does not answer")

    def close(self) -> None:
        self.is_closed = True
        if self.error is not None:
            raise self.error


def test_a_target_that_is_down_at_the_start_is_waited_for_and_named() -> None:
    sink, stop = Slow(), Stop()
    status = Status(stop)
    assert status.ready() == "the target is being opened"
    assert wait_for_target(sink, "log", status, stop)
    assert sink.attempts == 3
    assert status.ready() == "waiting for the target: the database does not answer, try again in 0.001 s"
    assert status.live() is None


def test_a_stop_ends_the_wait_for_a_target() -> None:
    sink, stop = Slow(), Stop()
    stop.set()
    assert not wait_for_target(sink, "log", Status(stop), stop)
    assert sink.attempts == 0
    assert Status(stop).ready() == "stopping"


def test_a_target_that_can_never_be_opened_ends_the_process_and_is_closed() -> None:
    stop = Stop()
    sink = Slow(ConfigError("the schema is newer than this version"))
    with pytest.raises(ConfigError):
        wait_for_target(sink, "log", Status(stop), stop)
    stop.set(SinkError("the first error"))
    close(sink, None, stop)
    assert sink.is_closed
    with pytest.raises(SinkError, match="the first error"):
        stop.raise_error()
    assert Status(stop).live() == "the first error"
