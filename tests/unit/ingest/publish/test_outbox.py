"""Numbers, envelope and counts of published frames, on a sender that keeps everything in memory."""

from collections.abc import Callable

import pytest

from infra.process.times import now_us
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import Outbox
from schemas.codec import decode
from schemas.errors import Stalled
from schemas.headers import traceparent_of
from schemas.records import Encoding, Frame, SourceKind
from tests.support.memory_sender import FENCED, INVALID, TOO_LARGE, MemorySender


class Rig:
    """An outbox, its sender, and the drops that it told of."""

    def __init__(self, sender: MemorySender | None = None) -> None:
        self.sender, self.drops = sender or MemorySender(), DropCounts()
        self.outbox = Outbox(self.sender, "t-frames.raw", self.drops.add)

    def publish(self, *frames: OutgoingFrame, give_up: Callable[[], bool] = lambda: False) -> bool:
        taken = [self.outbox.publish(frame, give_up) for frame in frames]
        return all(taken)

    def frames(self) -> list[Frame]:
        return [decode(Frame, record.value) for record in self.sender.records]


def outgoing(epoch: int = 1000, source_id: str = "cam", expires_in_ms: int | None = None) -> OutgoingFrame:
    now = now_us()
    return OutgoingFrame(
        source_id=source_id,
        source_kind=SourceKind.CRAWLER,
        stream_epoch=epoch,
        captured_at=now - 5_000_000,
        received_at=now,
        encoding=Encoding.JPEG,
        image=b"\xff\xd8\xff",
        uri="https://example.org/a.jpg",
        attributes={"page": "https://example.org/"},
        expires_at=None if expires_in_ms is None else now + expires_in_ms * 1000,
    )


def test_numbers_have_no_gap_and_start_over_with_a_new_epoch() -> None:
    rig = Rig()
    rig.publish(*(outgoing(epoch) for epoch in (1000, 1000, 1000, 2000, 2000)))
    assert [frame.frame_id for frame in rig.frames()] == [
        "cam/1000/0",
        "cam/1000/1",
        "cam/1000/2",
        "cam/2000/0",
        "cam/2000/1",
    ]


def test_each_source_has_numbers_of_its_own() -> None:
    rig = Rig()
    rig.publish(outgoing(), outgoing(source_id="gate"), outgoing(), outgoing(source_id="gate"))
    assert [frame.frame_id for frame in rig.frames()] == ["cam/1000/0", "gate/1000/0", "cam/1000/1", "gate/1000/1"]


def test_the_envelope() -> None:
    rig, sent = Rig(), outgoing()
    rig.publish(sent)
    [record], [frame] = rig.sender.records, rig.frames()
    assert (record.topic, record.key, record.partition) == ("t-frames.raw", "cam", -1)
    assert record.timestamp_ms == sent.captured_at // 1000
    assert (traceparent_of(record.headers) or "").startswith("00-")
    assert (frame.captured_at, frame.received_at, frame.image) == (sent.captured_at, sent.received_at, sent.image)
    assert (frame.source_kind, frame.encoding) == (SourceKind.CRAWLER, Encoding.JPEG)
    assert (frame.uri, frame.attributes) == (sent.uri, {"page": "https://example.org/"})


def test_a_full_queue_is_waited_for() -> None:
    rig = Rig(MemorySender(busy=3))
    assert rig.publish(outgoing())
    assert len(rig.sender.records) == 1


def test_giving_up_ends_the_waiting_and_the_frame_counts_as_undelivered() -> None:
    rig = Rig(MemorySender(busy=1_000_000))
    assert not rig.publish(outgoing(), give_up=lambda: True)
    assert rig.outbox.undelivered("cam") == 1
    rig.sender.busy = 0
    rig.publish(outgoing())
    assert [frame.frame_seq for frame in rig.frames()] == [0], "a frame that was given up has no number"


def test_what_the_broker_refuses_counts_as_failed_and_is_told_as_a_drop() -> None:
    rig = Rig()
    rig.publish(outgoing(), outgoing(), outgoing(), outgoing())
    written, too_large, refused, _unanswered = rig.sender.records
    rig.sender.report(written)
    rig.sender.report(too_large, TOO_LARGE)
    rig.sender.report(refused, INVALID)
    assert (rig.outbox.delivered(), rig.outbox.failed(), rig.outbox.undelivered("cam")) == ({"cam": 1}, {"cam": 2}, 3)
    assert rig.drops.of("cam") == {"too_large": 1, "undelivered": 1}


def test_a_frame_that_has_expired_is_dropped_as_stale_and_gets_no_number() -> None:
    rig = Rig()
    assert rig.publish(outgoing(expires_in_ms=-1), outgoing(expires_in_ms=60_000), outgoing(expires_in_ms=None))
    assert [frame.frame_seq for frame in rig.frames()] == [0, 1]
    assert rig.drops.of("cam") == {"stale": 1}
    assert rig.outbox.undelivered("cam") == 2


def test_a_frame_that_the_client_refuses_at_once_fails_alone() -> None:
    rig = Rig(MemorySender(refusals=[None, TOO_LARGE, INVALID]))
    assert rig.publish(*[outgoing()] * 4)
    assert [frame.frame_seq for frame in rig.frames()] == [0, 3]
    assert rig.drops.of("cam") == {"too_large": 1, "undelivered": 1}
    assert (rig.outbox.failed(), rig.outbox.undelivered("cam")) == ({"cam": 2}, 4)


def test_a_client_that_never_sends_again_ends_the_producer() -> None:
    with pytest.raises(Stalled, match="fenced"):
        Rig(MemorySender(fatal="fenced")).publish(outgoing())
    with pytest.raises(Stalled, match="Fatal error"):
        Rig(MemorySender(refusals=[FENCED])).publish(outgoing())
