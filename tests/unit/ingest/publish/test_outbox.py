"""Numbers, envelope and counts of published frames, on a sender that keeps everything in memory."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from infra.process import metrics
from infra.process.times import now_us
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import TELL_EVERY_S, Outbox
from schemas.clocks import read_clock
from schemas.codec import decode
from schemas.errors import Stalled
from schemas.headers import traceparent_of
from schemas.records import Encoding, Frame, SourceKind
from tests.support.memory_sender import FENCED, INVALID, TOO_LARGE, UNKNOWN_TOPIC, MemorySender
from tests.support.spans import recorded

IN_2099 = 4_080_000_000_000_000


class Rig:
    """An outbox, its sender, and the drops that it told of."""

    def __init__(self, sender: MemorySender | None = None) -> None:
        self.sender, self.drops = sender or MemorySender(), DropCounts()
        self.outbox = Outbox(self.sender, "t-frames.raw", self.drops.add, retention_h=24)

    def publish(self, *frames: OutgoingFrame, give_up: Callable[[], bool] = lambda: False) -> bool:
        taken = [self.outbox.publish(frame, give_up) for frame in frames]
        return all(taken)

    def frames(self) -> list[Frame]:
        return [decode(Frame, record.value) for record in self.sender.records]


def outgoing(
    epoch: int = 1000, source_id: str = "cam", expires_in_ms: int | None = None, captured_at: int | None = None
) -> OutgoingFrame:
    now = now_us()
    return OutgoingFrame(
        source_id=source_id,
        source_kind=SourceKind.CRAWLER,
        stream_epoch=epoch,
        captured_at=now - 5_000_000 if captured_at is None else captured_at,
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


def test_a_camera_that_gives_the_same_picture_again_has_not_changed() -> None:
    def changed_at() -> float | None:
        return REGISTRY.get_sample_value("sightline_source_last_change_timestamp_seconds", {"source_id": "frozen"})

    rig, first, other = Rig(), outgoing(source_id="frozen"), outgoing(source_id="frozen")
    rig.publish(first)
    assert changed_at() == first.received_at / 1e6
    rig.publish(replace(first, received_at=first.received_at + 1_000_000), outgoing(source_id="gate"))
    assert changed_at() == first.received_at / 1e6
    rig.publish(replace(other, image=b"\xff\xd8\xfe"))
    assert changed_at() == other.received_at / 1e6


def test_the_envelope() -> None:
    rig, sent = Rig(), outgoing()
    rig.publish(sent)
    [record], [frame] = rig.sender.records, rig.frames()
    assert (record.topic, record.key, record.partition) == ("t-frames.raw", "cam", -1)
    assert record.timestamp_ms == sent.captured_at // 1000
    assert (traceparent_of(record.headers) or "").endswith("-00"), "traces are off"
    assert (frame.captured_at, frame.received_at, frame.image) == (sent.captured_at, sent.received_at, sent.image)
    assert (frame.source_kind, frame.encoding) == (SourceKind.CRAWLER, Encoding.JPEG)
    assert (frame.uri, frame.attributes) == (sent.uri, {"page": "https://example.org/"})
    assert read_clock(record.headers) is None


def test_a_trace_begins_with_the_frame_where_traces_are_on() -> None:
    rig = Rig(MemorySender(refusals=[None, TOO_LARGE]))
    with recorded() as found:
        rig.publish(outgoing(), outgoing())
        rig.sender.flush(1)
    refused, written = found.spans["send t-frames.raw"]
    (record,) = rig.sender.records
    assert written.context is not None
    assert (traceparent_of(record.headers) or "").split("-")[1] == f"{written.context.trace_id:032x}"
    assert written.attributes is not None
    assert written.attributes["sightline.frame_id"] == "cam/1000/0"
    assert (written.status.is_ok, refused.status.is_ok) == (True, False)


def test_a_frame_that_is_not_sampled_says_so_and_has_no_span() -> None:
    rig = Rig()
    with recorded(sample_ratio=0.0) as found:
        rig.publish(outgoing())
    assert (traceparent_of(rig.sender.records[0].headers) or "").endswith("-00")
    assert found.spans == {}


@pytest.mark.parametrize(("captured_at", "clock"), [(0, "behind"), (-1, "behind"), (IN_2099, "ahead")])
def test_a_record_has_the_time_of_sending_where_the_clock_of_the_source_is_off(captured_at: int, clock: str) -> None:
    rig, before = Rig(), metrics.CLOCKS_ADJUSTED.labels("cam", clock)._value.get()
    sent_ms = now_us() // 1000
    with capture_logs() as lines:
        rig.publish(outgoing(captured_at=captured_at), outgoing(captured_at=captured_at), outgoing())
    first, second, sound = rig.sender.records
    assert sent_ms <= first.timestamp_ms <= second.timestamp_ms <= now_us() // 1000
    assert read_clock(first.headers) == first.timestamp_ms
    assert [frame.captured_at for frame in rig.frames()][:2] == [captured_at] * 2, (
        "the value keeps what the source said"
    )
    assert read_clock(sound.headers) is None
    assert [line.get("clock") for line in lines] == [clock, None], "told once, and when it is over"
    rig.sender.report(first)
    last_s = REGISTRY.get_sample_value("sightline_source_last_frame_timestamp_seconds", {"source_id": "cam"})
    assert last_s == first.timestamp_ms / 1000, "an alert can go by it"
    rig.sender.report(second, INVALID)
    assert metrics.CLOCKS_ADJUSTED.labels("cam", clock)._value.get() - before == 1, "of the delivered ones"


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


def test_a_topic_that_is_gone_is_told_once_and_not_for_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be away for hours, with many cameras; a frame that is refused for itself is named."""
    now_s = 1_000.0
    monkeypatch.setattr("ingest.publish.outbox.time.monotonic", lambda: now_s)
    rig = Rig()
    rig.sender.refusals = [*[UNKNOWN_TOPIC] * 500, TOO_LARGE, TOO_LARGE, *[UNKNOWN_TOPIC] * 500]
    with capture_logs() as said:
        rig.publish(*(outgoing(source_id=f"cam{number % 12}") for number in range(502)))
        now_s += TELL_EVERY_S
        rig.publish(*(outgoing() for _ in range(500)))
    told = [(line["event"], line.get("frames")) for line in said]
    one = ("frame not delivered", None)
    assert told == [("frames not delivered", 1), one, one, ("frames not delivered", 500)]
    assert rig.drops.total() == {"undelivered": 1_000, "too_large": 2}


def test_sources_that_are_forgotten_leave_their_totals_and_no_more() -> None:
    rig = Rig()
    rig.publish(*(outgoing(1000, f"host-{number}") for number in range(100)))
    rig.sender.flush(1.0)
    rig.publish(outgoing(1000, "late"))
    rig.outbox.forget()
    rig.sender.flush(1.0)
    assert rig.outbox.delivered() == {"other": 100, "late": 1}
    assert not rig.outbox._next_seq and not rig.outbox._pictures
    rig.publish(outgoing(1001, "host-1"))
    assert rig.frames()[-1].frame_id == "host-1/1001/0"
