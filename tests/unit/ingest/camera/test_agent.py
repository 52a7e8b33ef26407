"""What an agent says of the frames that it lost, and that it delivers what is in flight however it ends."""

import threading
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

import ingest.camera.agent
from infra.kafka.sender import OutRecord
from infra.process.lifecycle import Stop, StopBudget
from infra.process.times import now_us
from infra.settings import load_settings
from ingest.camera.agent import SHORTAGE_S, flush, frames_to_publish, into_buffer, probes
from ingest.camera.buffer import FINITE_HELD, FrameBuffer
from ingest.camera.feed import Feed
from ingest.camera.losses import raise_losses
from ingest.camera.report import REPORT_PERIOD_S, REPORTS_PER_LOG_LINE, Reporter
from ingest.camera.session_end import FeedState
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import Outbox
from ingest.publish.route import DirectRoute
from schemas.errors import SightlineError
from schemas.records import Encoding, SourceKind
from tests.support.cameras import MAX_IMAGE_BYTES, SETTINGS, spec_of
from tests.support.memory_sender import MemorySender


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


class Rig:
    """One feed that was never started, and what stands around it."""

    def __init__(self, source: str = "sim:coffee") -> None:
        self.clock, self.drops, self.sender = Clock(), DropCounts(), MemorySender()
        self.feed = Feed(spec_of(source), SETTINGS, MAX_IMAGE_BYTES, lambda _frame: None, self.drops, Stop())
        self.outbox = Outbox(self.sender, "frames.raw", self.drops.add, retention_h=24)
        self.route = DirectRoute(self.outbox)
        self.buffer: FrameBuffer[OutgoingFrame] = FrameBuffer(1 << 20, max_frames=2)
        self.buffer.add_source(self.feed.spec.source_id, live=True)

    def raise_losses(self) -> None:
        raise_losses([self.feed], self.outbox, self.buffer, self.drops, self.route)


def a_frame() -> OutgoingFrame:
    return OutgoingFrame("cam", SourceKind.CAMERA, 1, now_us(), now_us(), Encoding.JPEG, b"x", "sim:coffee")


def events(lines: list[Any], event: str) -> list[Any]:
    return [line for line in lines if line["event"].startswith(event)]


def test_a_buffer_that_gets_full_is_told_of_once_a_shortage() -> None:
    rig = Rig()
    put = into_buffer(rig.buffer, rig.drops, rig.clock)
    with capture_logs() as lines:
        for pause_s in (0.1, 0.1, 0.1, 0.1, SHORTAGE_S - 1, SHORTAGE_S + 1, 0.1):
            rig.clock.s += pause_s
            put(a_frame())
    assert rig.drops.of("cam") == {"buffer_full": 5}
    assert [line["log_level"] for line in events(lines, "buffer full")] == ["warning", "warning"]


def test_the_report_lines_name_what_was_dropped() -> None:
    rig = Rig()
    reporter = Reporter([rig.feed], rig.outbox, rig.buffer, rig.drops, rig.route, clock=rig.clock)
    rig.drops.add("cam", "buffer_full", 2)
    rig.drops.add("gate", "buffer_full", 2)
    rig.drops.add("cam", "rate_limit", 10)
    with capture_logs() as lines:
        for _ in range(REPORTS_PER_LOG_LINE):
            rig.clock.s += REPORT_PERIOD_S
            reporter.tick()
        reporter.close()
    dropped = {"buffer_full": 4, "rate_limit": 10}
    assert events(lines, "publishing")[-1]["dropped"] == events(lines, "published")[-1]["dropped"] == dropped


def test_the_end_names_what_each_camera_lost_but_not_what_was_asked_for() -> None:
    rig = Rig()
    rig.drops.add("cam", "stale", 3)
    rig.drops.add("cam", "rate_limit", 5)
    with capture_logs() as lines:
        rig.raise_losses()
    [line] = events(lines, "frames dropped")
    assert (line["source_id"], line["frames"], line["log_level"]) == ("cam", {"stale": 3}, "warning")


def test_undelivered_frames_of_a_camera_are_logged_and_those_of_a_file_an_error(tmp_path: Any) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    live, finite = Rig(), Rig(str(tmp_path))
    for rig in (live, finite):
        rig.outbox.publish(a_frame(), lambda: False)
        rig.buffer.put("cam", a_frame(), 1)
    with capture_logs() as lines:
        live.raise_losses()
    assert [line["why"] for line in events(lines, "frames lost")] == ["2 frames were not delivered"]
    finite.feed.refused = 1
    with pytest.raises(SightlineError, match="cam: 2 frames were not delivered, 1 images were refused"):
        finite.raise_losses()


def test_it_is_ready_once_a_source_delivers_and_dead_with_its_producer() -> None:
    rig = Rig()
    live, ready = probes(rig.sender, [rig.feed])
    assert (live(), ready()) == (None, "no frames yet: cam is starting")
    rig.feed.state = FeedState.UP
    assert ready() is None
    rig.sender.fatal = "fenced"
    assert live() == ready() == "the Kafka producer cannot go on: fenced"


def test_the_buffer_is_emptied_after_the_last_feed_has_ended() -> None:
    rig = Rig()
    rig.buffer.put("cam", a_frame(), 1)
    rig.buffer.put("cam", a_frame(), 1)
    assert len(list(frames_to_publish(rig.buffer, [rig.feed], rig.route, Stop(), lambda: False))) == 2
    rig.buffer.put("cam", a_frame(), 1)
    assert list(frames_to_publish(rig.buffer, [rig.feed], rig.route, Stop(), lambda: True)) == [], (
        "giving up leaves the rest"
    )


class Spooled(DirectRoute):
    """Has frames on disk for some looks, and no room for others."""

    looks = 3

    def work(self) -> None:
        self.looks -= 1

    def pause_s(self, longest_s: float) -> float:
        return 0.01

    def is_empty(self) -> bool:
        return self.looks <= 0

    def has_room(self) -> bool:
        return self.is_empty()


def test_what_is_on_disk_is_sent_before_the_agent_ends_by_itself_and_not_after_a_stop() -> None:
    rig, route, stop = Rig(), Spooled(Rig().outbox), Stop()
    assert list(frames_to_publish(rig.buffer, [rig.feed], route, stop, lambda: False)) == []
    assert route.looks == 0
    stop.set()
    kept = Spooled(rig.outbox)
    assert list(frames_to_publish(rig.buffer, [rig.feed], kept, stop, lambda: False)) == []
    assert not kept.is_empty()


def test_while_kafka_has_no_room_only_live_frames_are_taken() -> None:
    rig, route = Rig(), Spooled(Rig().outbox)
    rig.buffer.add_source("file", live=False)
    rig.buffer.put("file", replace(a_frame(), source_id="file"), 1)
    rig.buffer.put("cam", a_frame(), 1)
    taken = [frame.source_id for frame in frames_to_publish(rig.buffer, [rig.feed], route, Stop(), lambda: False)]
    assert taken == ["cam", "file"]


def test_a_stop_ends_the_waiting_of_finite_sources() -> None:
    rig, stop = Rig(), Stop()
    rig.buffer.add_source("file", live=False)
    for _ in range(FINITE_HELD):
        rig.buffer.put("file", a_frame(), 1)
    waiting = threading.Thread(target=rig.buffer.put, args=("file", a_frame(), 1))
    waiting.start()
    stop.set()
    taken = list(frames_to_publish(rig.buffer, [cast(Feed, waiting)], rig.route, stop, lambda: False))
    assert len(taken) == FINITE_HELD + 1
    waiting.join(2.0)
    assert not waiting.is_alive()


class Recorded(MemorySender):
    """Tells how long its last flush might take."""

    def close(self, timeout_s: float = 5.0) -> int:
        self.closed_within_s = timeout_s
        return super().close(timeout_s)

    def produce_wait_ms(self) -> float | None:
        return None


def test_the_last_flush_has_what_a_stop_leaves_of_its_budget() -> None:
    sender, stop = Recorded(unanswered=1), Stop()
    sender.send(OutRecord("frames.raw", "cam", b"value"))
    stop.set()
    flush(sender, stop, StopBudget(stop, 3.0))
    assert 2.0 < sender.closed_within_s <= 3.0


def test_what_is_in_flight_is_delivered_also_when_the_agent_ends_by_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Recorded()

    def defect(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(ingest.camera.agent, "Publisher", lambda *_, **__: sender)
    monkeypatch.setattr(ingest.camera.agent, "HealthServer", lambda *_: nullcontext())
    monkeypatch.setattr(ingest.camera.agent, "reporting", lambda *_: nullcontext())
    monkeypatch.setattr(ingest.camera.agent, "frames_to_publish", defect)
    stop = Stop()
    with pytest.raises(RuntimeError, match="a defect"):
        ingest.camera.agent.run(load_settings({}), [], stop)
    assert stop.is_set()
    assert sender.closed_within_s > 1.0
