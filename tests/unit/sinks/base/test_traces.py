"""The spans of labels in a sink: from the reading until the flush, with the refused ones as errors."""

from infra.failures.breaker import Breaker
from infra.failures.unknown_versions import VersionGuard
from infra.kafka.groups import GroupProgress
from infra.kafka.records import ConsumedRecord
from infra.kafka.traces import follow_record
from infra.process.lifecycle import Deadline
from infra.settings import BreakerSettings
from schemas import codec
from schemas.coordinates import Coordinates, TopicPartition
from sinks.base.batch import Entry
from sinks.base.dead import DeadLabels
from sinks.base.flusher import Flusher
from tests.support.label_log import DeadLetterLog
from tests.support.memory_sink import MemorySink, MemoryTarget
from tests.support.sink_records import a_label
from tests.support.spans import recorded

ONE = TopicPartition("labels", 0)
CONTEXT = f"00-{1:032x}-{1:016x}-0"


def test_a_label_is_a_span_until_its_flush() -> None:
    sink, progress = MemorySink(MemoryTarget()), GroupProgress[None]()
    sink.setup("log")
    progress.assign([ONE])
    dead = DeadLabels(DeadLetterLog(), "labels.dead", "sink-memory")
    flusher = Flusher(sink, progress, dead, Breaker(BreakerSettings()), VersionGuard("this sink", ()), 100)
    flusher.begin([ONE])
    label = codec.encode(a_label(Coordinates("frames.raw", 0, 1)))
    with recorded() as found:
        entries = [
            _entry(progress, 0, label, "1"),
            _entry(progress, 1, b"no label", "1"),
            _entry(progress, 2, label, "0"),
        ]
        flusher.flush(entries, Deadline(10))
    stored, refused = found.spans["process labels"]
    (flush,) = found.spans["flush memory"]
    assert (stored.status.is_ok, refused.status.is_ok) == (True, False)
    assert [link.context for link in flush.links] == [stored.context, refused.context]
    assert flush.attributes == {"sightline.labels": 3}


def _entry(progress: GroupProgress[None], offset: int, value: bytes, flag: str) -> Entry:
    record = ConsumedRecord(*ONE, offset, 0, b"cam", value, [("traceparent", f"{CONTEXT}{flag}".encode())])
    return Entry(record, 1, progress.start(ONE, offset, None), span=follow_record(record, "g"))
