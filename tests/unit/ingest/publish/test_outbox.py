"""Numbers, envelope and accounting of published frames, on a sender that holds everything in memory."""

from collections.abc import Callable

import pytest

from infra.process.lifecycle import Stop
from infra.process.times import now_us
from infra.settings import CameraSettings
from ingest.camera.feed import Captured, Feed
from ingest.camera.spec import camera_spec
from ingest.publish.outbox import Outbox
from schemas.codec import decode
from schemas.errors import Stalled
from schemas.headers import traceparent_of
from schemas.records import Encoding, Frame, SourceKind
from tests.support.memory_sender import FENCED, INVALID, TOO_LARGE, MemorySender

SETTINGS = CameraSettings()


def frames(sender: MemorySender) -> list[Frame]:
    return [decode(Frame, record.value) for record in sender.records]


@pytest.fixture
def feed() -> Feed:
    spec = camera_spec({"id": "cam", "source": "rtsp://joe:geheim@cam.local/1"}, SETTINGS, {})
    return Feed(spec, SETTINGS, 1 << 20, lambda captured: None, Stop())


def captured(feed: Feed, epoch: int = 1000, age_ms: int = 0, name: str = "") -> Captured:
    now = now_us()
    return Captured(feed, epoch, now - age_ms * 1000, now, Encoding.JPEG, b"\xff\xd8\xff", name)


def never() -> bool:
    return False


def publish(outbox: Outbox, *several: Captured, give_up: Callable[[], bool] = never) -> None:
    for one in several:
        outbox.publish(one, give_up)


def test_numbers_have_no_gap_and_start_over_with_a_new_epoch(feed: Feed) -> None:
    sender = MemorySender()
    publish(Outbox(sender, "frames.raw"), *(captured(feed, epoch) for epoch in (1000, 1000, 1000, 2000, 2000)))
    assert [frame.frame_id for frame in frames(sender)] == [
        "cam/1000/0",
        "cam/1000/1",
        "cam/1000/2",
        "cam/2000/0",
        "cam/2000/1",
    ]


def test_the_envelope(feed: Feed) -> None:
    sender = MemorySender()
    one = captured(feed, name="deep/a.jpg")
    publish(Outbox(sender, "t-frames.raw"), one)
    [record], [frame] = sender.records, frames(sender)
    assert (record.topic, record.key) == ("t-frames.raw", "cam")
    assert record.timestamp_ms == one.captured_at // 1000
    assert (traceparent_of(record.headers) or "").startswith("00-")
    assert (frame.captured_at, frame.received_at, frame.image) == (one.captured_at, one.received_at, one.image)
    assert (frame.source_kind, frame.encoding) == (SourceKind.CAMERA, Encoding.JPEG)
    assert frame.attributes == {"file": "deep/a.jpg"}
    assert frame.uri == "rtsp://cam.local/1"
    assert b"geheim" not in (record.value or b"")


def test_a_full_queue_is_waited_for(feed: Feed) -> None:
    sender = MemorySender(busy=3)
    publish(Outbox(sender, "frames.raw"), captured(feed))
    assert len(sender.records) == 1


def test_a_stop_ends_the_waiting_and_the_frame_counts_as_undelivered(feed: Feed) -> None:
    outbox = Outbox(MemorySender(busy=1_000_000), "frames.raw")
    assert outbox.publish(captured(feed), give_up=lambda: True) is False
    assert outbox.undelivered("cam") == 1


def test_what_the_broker_refuses_counts_as_undelivered(feed: Feed) -> None:
    sender = MemorySender()
    outbox = Outbox(sender, "frames.raw")
    publish(outbox, captured(feed), captured(feed))
    written, refused = sender.records
    sender.report(written)
    sender.report(refused, TOO_LARGE)
    assert (outbox.delivered["cam"], outbox.failed["cam"], outbox.undelivered("cam")) == (1, 1, 1)


def test_old_frames_of_a_live_source_are_dropped_where_that_is_asked_for(feed: Feed) -> None:
    sender = MemorySender()
    publish(Outbox(sender, "frames.raw", max_frame_age_ms=1000), captured(feed, age_ms=5000), captured(feed))
    publish(Outbox(sender, "frames.raw"), captured(feed, age_ms=3_600_000))
    assert [frame.frame_seq for frame in frames(sender)] == [0, 0]


def test_a_client_that_gave_up_ends_the_agent(feed: Feed) -> None:
    with pytest.raises(Stalled, match="fenced"):
        publish(Outbox(MemorySender(fatal="fenced"), "frames.raw"), captured(feed))


def test_a_frame_that_the_client_refuses_at_once_fails_alone(feed: Feed) -> None:
    sender = MemorySender(refusals=[None, TOO_LARGE, INVALID])
    outbox = Outbox(sender, "frames.raw")
    publish(outbox, *[captured(feed)] * 4)
    assert [frame.frame_seq for frame in frames(sender)] == [0, 3]
    assert feed.dropped() == {"too_large": 1, "undelivered": 1}
    assert (outbox.failed["cam"], outbox.undelivered("cam")) == (2, 4)


def test_a_client_that_gives_up_at_a_frame_ends_the_agent(feed: Feed) -> None:
    with pytest.raises(Stalled, match="Fatal error"):
        publish(Outbox(MemorySender(refusals=[FENCED]), "frames.raw"), captured(feed))
