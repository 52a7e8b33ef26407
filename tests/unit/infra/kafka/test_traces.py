"""Spans of records: who is sampled, whose child it is, what it is called, and what its headers say then."""

import pytest
from opentelemetry.trace import SpanKind

from infra.kafka.errors import FaultKind, KafkaFault
from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import DeliveryReport, OutRecord
from infra.kafka.traces import batch_around, begin, begin_again, follow, follow_record, sent_by, sent_within
from schemas.headers import traceparent_of
from schemas.trace_context import is_sampled
from tests.support.spans import recorded

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
RECORD = ConsumedRecord("labels", 3, 17, 0, b"cam", b"", [("traceparent", SAMPLED.encode())])


@pytest.mark.parametrize(
    ("flags", "expected"), [("00", False), ("01", True), ("02", False), ("03", True), ("0b", True), ("fe", False)]
)
def test_the_lowest_bit_of_the_flags_decides(flags: str, expected: bool) -> None:
    assert is_sampled(f"00-{TRACE}-{SPAN}-{flags}") is expected
    with recorded(sample_ratio=0.0 if expected else 1.0):  # the ratio has no say
        span, passed_on = begin("process", "frames.raw", f"00-{TRACE}-{SPAN}-{flags}")
    assert (span is not None) is expected
    assert passed_on is not None
    assert passed_on.startswith(f"00-{TRACE}-")


def test_off_headers_pass_untouched() -> None:
    assert begin("process", "frames.raw", SAMPLED) == (None, SAMPLED)
    assert begin("send", "frames.raw", None) == (None, None)
    assert (follow("process", "labels", SAMPLED), follow_record(RECORD, "g"), batch_around("send", "b", [], 4)) == (
        None,
        None,
        None,
    )
    record = OutRecord("labels", b"", b"")
    assert sent_within(None, record) is record


def test_what_is_sent_again_begins_a_trace_that_links_to_the_former_one() -> None:
    span, passed_on = begin_again("send", "frames.replay", SAMPLED)
    assert span is None
    assert TRACE not in passed_on
    assert not is_sampled(passed_on), "off, no later stage chooses anew"
    with recorded(sample_ratio=1.0) as found:
        span, passed_on = begin_again("send", "frames.replay", SAMPLED, partition=3, offset=17)
        assert span is not None
        span.end()
    assert passed_on == span.traceparent
    assert TRACE not in passed_on
    (sent,) = found.spans["send frames.replay"]
    assert [f"{link.context.span_id:016x}" for link in sent.links] == [SPAN]
    with recorded(sample_ratio=0.0):
        assert begin_again("send", "frames.replay", SAMPLED)[0] is None


def test_the_one_who_begins_decides_for_all_that_follow() -> None:
    with recorded(sample_ratio=0.0) as found:
        span, passed_on = begin("send", "frames.raw", None)
        assert span is None
        assert passed_on is not None
        assert not is_sampled(passed_on)
        assert follow("process", "frames.raw", passed_on) is None
        assert begin("process", "frames.raw", passed_on) == (None, passed_on)
    assert found.spans == {}


def test_about_the_share_of_traces_begins() -> None:
    with recorded(sample_ratio=0.25):
        begun = [begin("send", "frames.raw", None) for _ in range(2_000)]
    assert 350 < sum(span is not None for span, _ in begun) < 650
    assert all(context is not None and is_sampled(context) is (span is not None) for span, context in begun)
    assert len({context for _, context in begun}) == len(begun)


def test_a_span_names_its_record() -> None:
    with recorded() as found:
        span = follow_record(RECORD, "sightline-sink-x")
        assert span is not None
        span.end()
        span.end()
    (read,) = found.spans["process labels"]
    assert (read.kind, read.parent and f"{read.parent.span_id:016x}") == (SpanKind.CONSUMER, SPAN)
    assert read.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "labels",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 17,
        "messaging.consumer.group.name": "sightline-sink-x",
    }


def test_a_record_is_sent_in_a_span_whose_context_it_carries() -> None:
    reports: list[DeliveryReport] = []
    with recorded() as found:
        parent, _ = begin("process", "frames.batches", SAMPLED)
        assert parent is not None
        headers = [("traceparent", UNSAMPLED.encode()), ("sightline-replay-id", b"r")]
        record = sent_within(parent, OutRecord("labels", b"k", b"v", headers, on_delivery=reports.append))
        assert record.on_delivery is not None
        record.on_delivery(DeliveryReport("labels", 1, 5))
        unheard = sent_within(parent, OutRecord("frames.dead", b"k", b"v"))
        assert unheard.on_delivery is not None
        unheard.on_delivery(DeliveryReport("frames.dead", 0, 0))
        parent.end()
    assert reports == [DeliveryReport("labels", 1, 5)]
    (sent,), (handled,) = found.spans["send labels"], found.spans["process frames.batches"]
    assert sent.context is not None
    assert sent.parent is not None
    assert handled.context is not None
    assert (sent.kind, sent.parent.span_id) == (SpanKind.PRODUCER, handled.context.span_id)
    assert traceparent_of(record.headers) == f"00-{TRACE}-{sent.context.span_id:016x}-01"
    assert [name for name, _ in record.headers] == ["traceparent", "sightline-replay-id"]
    assert sent.attributes is not None
    assert (sent.attributes["messaging.kafka.offset"], sent.status.is_ok) == (5, True)
    assert len(found.spans["send frames.dead"]) == 1


def test_a_refused_record_is_an_error() -> None:
    fault = KafkaFault(FaultKind.TOO_LARGE, "MSG_SIZE_TOO_LARGE", "too large")
    with recorded() as found:
        span, _ = begin("send", "frames.raw", None)
        sent_by(span, lambda _: None)(DeliveryReport("frames.raw", -1, -1, fault))
    (sent,) = found.spans["send frames.raw"]
    assert sent.attributes is not None
    assert (sent.status.is_ok, sent.attributes["error.type"]) == (False, "MSG_SIZE_TOO_LARGE")
    assert "messaging.kafka.offset" not in sent.attributes


def test_a_batch_and_its_frames_link_to_each_other() -> None:
    with recorded(sample_ratio=0.0) as found:  # a batch is recorded because frames of it are
        frames = [span for _ in range(3) if (span := follow("process", "frames.raw", SAMPLED)) is not None]
        batch = batch_around("send", "frames.batches", frames, messages=40)
        assert batch is not None
        for one in (batch, *frames):
            one.end()
        assert batch_around("send", "frames.batches", [], messages=40) is None
    (sent,) = found.spans["send frames.batches"]
    assert sent.parent is None
    assert sent.attributes is not None
    assert sent.attributes["messaging.batch.message_count"] == 40
    members = found.spans["process frames.raw"]
    assert [link.context for link in sent.links] == [one.context for one in members]
    assert [[link.context for link in one.links] for one in members] == [[sent.context]] * 3


def test_a_context_of_zeros_is_nobodys() -> None:
    with recorded() as found:
        span, passed_on = begin("process", "frames.raw", f"00-{'0' * 32}-{'0' * 16}-01")
        assert span is not None
        span.end()
    assert found.spans["process frames.raw"][0].parent is None
    assert "0" * 32 not in (passed_on or "")
