"""The spans of frames in the stage: who has one, when it ends, what failed, and what the records carry on."""

import pytest

from infra.failures.outcomes import FrameRecord
from schemas import codec, headers
from schemas.coordinates import Coordinates
from schemas.records import Encoding, Frame, SourceKind
from streams.stage.frames import PendingFrame
from tests.support.spans import recorded
from tests.support.stage_rig import FakeCache, Rig

TRACES = [f"00-{number:032x}-{1:016x}" for number in (1, 2, 3, 4)]


def take(rig: Rig, offset: int, traceparent: str | None, image: bytes = b"sound", attempt: int = 0) -> PendingFrame:
    frame = Frame(f"cam/1/{offset}", "cam", SourceKind.CAMERA, 1, offset, 7, 8, Encoding.JPEG, image)
    found = [] if traceparent is None else [(headers.TRACEPARENT, traceparent.encode())]
    place = Coordinates("frames.raw", 0, offset)
    record = FrameRecord(place, 99, b"cam", codec.encode(frame), found, attempt)
    pending = PendingFrame(record, lambda: rig.finished.append(offset))
    rig.stage.take(pending)
    return pending


async def test_a_sampled_frame_is_a_span_until_its_batch_is_acknowledged() -> None:
    rig = Rig()
    with recorded(sample_ratio=0.0) as found:
        pending = [take(rig, offset, f"{TRACES[offset]}-0{offset % 2}") for offset in range(4)]
        await rig.settle()
        assert [one.span is not None for one in pending] == [False, True, False, True]
        (sent,) = rig.sender.to("frames.batches")
        await rig.written()
    frames, (batch,) = found.spans["process frames.raw"], found.spans["send frames.batches"]
    carried = headers.traceparents_of(sent.record.headers, 4)
    assert carried[0::2] == [f"{TRACES[offset]}-00" for offset in (0, 2)]
    assert carried[1::2] == [
        f"{TRACES[offset]}"[:36] + f"{span.context.span_id:016x}-01"
        for offset, span in zip((1, 3), frames, strict=True)
        if span.context is not None
    ]
    assert [link.context for link in batch.links] == [span.context for span in frames]
    assert batch.attributes is not None
    assert batch.attributes["messaging.batch.message_count"] == 4
    assert [span.attributes and span.attributes["sightline.frame_id"] for span in frames] == ["cam/1/1", "cam/1/3"]
    assert [span.attributes and span.attributes["messaging.consumer.group.name"] for span in frames] == [
        "sightline-stream"
    ] * 2


@pytest.mark.parametrize(
    ("image", "topic", "reason"), [(b"bad", "frames.dead", "truncated"), (b"no room", "frames.retry", "MemoryError")]
)
async def test_a_frame_that_fails_is_an_error_and_its_record_goes_on_with_the_trace(
    image: bytes, topic: str, reason: str
) -> None:
    rig = Rig()
    with recorded() as found:
        take(rig, 0, f"{TRACES[0]}-01", image)
        await rig.settle()
        (sent,) = rig.sender.to(topic)
        await rig.written()
    (frame,), (sending,) = found.spans["process frames.raw"], found.spans[f"send {topic}"]
    assert frame.attributes is not None
    assert (frame.status.is_ok, frame.attributes["error.type"]) == (False, reason)
    assert sending.parent == frame.context
    assert sending.context is not None
    assert headers.traceparent_of(sent.record.headers) == f"{TRACES[0]}"[:36] + f"{sending.context.span_id:016x}-01"
    failure = headers.read_failure(sent.record.headers)
    assert failure is not None
    assert failure.error_class == reason


async def test_a_retried_frame_is_read_from_the_retry_topic() -> None:
    rig = Rig()
    with recorded() as found:
        take(rig, 0, f"{TRACES[0]}-01", attempt=1)
        await rig.settle()
        await rig.written()
    (frame,) = found.spans["process frames.retry"]
    assert frame.attributes is not None
    assert frame.attributes["messaging.consumer.group.name"] == "sightline-retry"
    assert "messaging.kafka.offset" not in frame.attributes


async def test_a_label_from_the_cache_is_sent_within_the_span_of_its_frame() -> None:
    rig = Rig(FakeCache(hits=1))
    with recorded() as found:
        take(rig, 0, None)
        await rig.settle()
        await rig.written()
    (frame,), (sending,) = found.spans["process frames.raw"], found.spans["send labels"]
    assert (frame.parent, sending.parent) == (None, frame.context)


async def test_off_the_contexts_of_others_go_through() -> None:
    rig = Rig()
    assert take(rig, 0, f"{TRACES[0]}-01").span is None
    await rig.settle()
    (sent,) = rig.sender.to("frames.batches")
    assert headers.traceparents_of(sent.record.headers, 1) == [f"{TRACES[0]}-01"]
    await rig.written()
