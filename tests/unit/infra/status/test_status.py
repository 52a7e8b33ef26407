"""What a process says of itself, and who is taken to be there."""

from infra.kafka.records import ConsumedRecord
from infra.settings import Settings
from infra.status.rates import Rate
from infra.status.reporter import Doing, StatusReporter
from infra.status.statuses import SILENT_US, Statuses
from schemas.codec import decode, encode
from schemas.records import ProcessStatus, SourceStatus
from tests.support.memory_sender import MemorySender


def record(key: str, value: bytes | None) -> ConsumedRecord:
    return ConsumedRecord("pipeline.status", 0, 0, 0, key.encode(), value, [])


def said(process_id: str, at: int, lane: str = "live") -> bytes:
    return encode(ProcessStatus(process_id, "infer", lane, at))


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate(window_s=10)
    assert rate.look(0, 0.0) is None
    assert [rate.look(10 * n, float(n)) for n in range(1, 20)] == [10.0] * 19
    assert rate.look(190, 29.0) == 0.0
    assert rate.look(0, 30.0) == 0.0, "a process that began anew has no negative rate"


def test_the_last_word_of_each_process_counts_until_it_is_silent_or_ends() -> None:
    statuses = Statuses()
    for name, value in (("a", said("a", 0)), ("b", said("b", 0)), ("a", said("a", 15_000_000)), ("c", said("c", 0))):
        statuses.add(record(name, value))
    statuses.add(record("c", None))
    statuses.add(record("d", b"somebody else's bytes"))
    statuses.add(record("r", said("r", 20_000_000, "replay")))
    assert {one.process_id for one in statuses.alive(SILENT_US)} == {"a", "b"}
    assert {one.process_id for one in statuses.alive(SILENT_US + 1)} == {"a"}
    assert [one.process_id for one in statuses.alive(SILENT_US + 1, "replay")] == ["r"]


def test_a_process_reports_at_once_and_removes_its_word_at_the_end() -> None:
    sender = MemorySender()
    source = SourceStatus("dock-1", "down", 0.0, None, "it answers HTTP 503")
    doing = Doing(arrived=5, finished=3, paused="why", waiting_frames=2, sources=(source,))
    with StatusReporter(Settings(topic_prefix="p-"), "ingest", "live", sender, lambda: doing):
        while not sender.records:
            pass
    first, last = sender.records[0], sender.records[-1]
    status = decode(ProcessStatus, first.value)
    assert (first.topic, status.stage, status.paused, status.sources) == (
        "p-pipeline.status",
        "ingest",
        "why",
        (source,),
    )
    assert (last.key, last.value) == (first.key, None)


def test_rates_come_from_counters() -> None:
    counts = iter([(0.0, 0.0), (50.0, 40.0)])

    def doing() -> Doing:
        arrived, finished = next(counts)
        return Doing(arrived=arrived, finished=finished)

    reporter = StatusReporter(Settings(), "stream", "live", MemorySender(), doing)
    first, second = reporter.status(0.0, 0), reporter.status(5.0, 0)
    assert (first.arriving_per_s, first.finished_per_s) == (None, None)
    assert (second.arriving_per_s, second.finished_per_s) == (10.0, 8.0)


def test_a_report_that_cannot_be_sent_is_left_out() -> None:
    with StatusReporter(Settings(), "stream", "live", MemorySender(busy=99), Doing):
        pass
