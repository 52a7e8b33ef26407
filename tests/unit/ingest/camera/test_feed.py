"""What a feed makes of the messages of its capture process, also while that skips what an earlier one delivered."""

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

import ingest.camera.feed
from infra.process.lifecycle import Stop
from ingest.camera.feed import Feed
from ingest.camera.session_end import FeedState, SessionEnd
from ingest.camera.spec import CameraSpec, Timeouts
from ingest.capture.groups import CaptureGroups
from ingest.capture.wire import CaptureMessage, MessageKind
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from ingest.sources.parse import ReaderKind, SourceSpec
from schemas.records import Encoding, SourceKind
from tests.support.cameras import SETTINGS

STATS_PERIOD_S = 1.0


def opened(live: bool = False, patience_s: float = 3.0) -> CaptureMessage:
    return CaptureMessage(MessageKind.OPENED, {"expected_per_s": 25.0, "live": live, "patience_s": patience_s})


OPENED = opened()
MISSED = CaptureMessage(MessageKind.MISSED, {"reason": "busy", "why": "it answers HTTP 503"})
FRAME = CaptureMessage(
    MessageKind.FRAME, {"index": 1, "captured_at": 1, "encoding": Encoding.JPEG, "name": ""}, b"\xff\xd8\xff"
)
FRAME_2 = CaptureMessage(MessageKind.FRAME, {**FRAME.meta, "index": 2}, FRAME.body)


def stats(captured: int, skipped: int) -> CaptureMessage:
    return CaptureMessage(MessageKind.STATS, {"captured": captured, "skipped": skipped, "dropped": {}, "jumps": 0})


class Child:
    """A capture process that tells these messages, one a second, and then crashes if it did not end."""

    def __init__(self, messages: list[CaptureMessage], clock: SimpleNamespace) -> None:
        self._messages, self._clock = list(messages), clock

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, _timeout_s: float) -> CaptureMessage:
        self._clock.s += STATS_PERIOD_S
        if not self._messages:
            raise EOFError
        return self._messages.pop(0)

    is_shared, capacity = False, 1

    def died(self) -> bool:
        return True

    def ended_for(self) -> None:
        return None

    def end_process(self) -> None:
        pass

    def cause_of_death(self) -> str:
        return "the capture process crashed"

    def last_words(self) -> list[str]:
        return []


class OneChild:
    """Gives each source a process of its own."""

    group_size = 1

    def __init__(self, messages: list[CaptureMessage], clock: SimpleNamespace) -> None:
        self._messages, self._clock = messages, clock

    def seat(self, *_: object) -> Child:
        return Child(self._messages, self._clock)


def stats_of_drops(**dropped: int) -> CaptureMessage:
    return CaptureMessage(MessageKind.STATS, {"captured": 1, "skipped": 0, "dropped": dropped, "jumps": 0})


FINITE = SourceSpec(ReaderKind.VIDEO, "v.mp4", "v.mp4")
POLLED = SourceSpec(ReaderKind.HTTP, "http://cam/a.mp4", "http://cam/a.mp4")
LIVE = SourceSpec(ReaderKind.STREAM, "rtsp://joe:geheim@cam/1", "rtsp://cam/1")


class Rig:
    """A feed on capture processes that all send the same messages, and what comes out of it."""

    def __init__(
        self,
        messages: list[CaptureMessage],
        monkeypatch: pytest.MonkeyPatch,
        source: SourceSpec = FINITE,
        **settings: Any,
    ) -> None:
        clock = SimpleNamespace(s=1.0, time_ns=time.time_ns)
        clock.monotonic = lambda: clock.s
        monkeypatch.setattr(ingest.camera.feed, "time", clock)
        changes = {"backoff_initial_ms": 1, "backoff_max_ms": 1, "max_failures": 2, **settings}
        self.frames: list[OutgoingFrame] = []
        self.drops = DropCounts()
        self.stop = Stop()
        self.feed = Feed(
            CameraSpec("cam", source, 5.0, False, 90, Timeouts.of(SETTINGS)),
            SETTINGS.model_copy(update=changes),
            1 << 20,
            self.frames.append,
            self.drops,
            self.stop,
            groups=cast(CaptureGroups, OneChild(messages, clock)),
        )


def feed_of(messages: list[CaptureMessage], monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Feed:
    return Rig(messages, monkeypatch, **settings).feed


def test_a_long_way_to_where_the_last_process_was_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    way = [stats(0, skipped) for skipped in range(100, 4_000, 100)]
    feed = feed_of([OPENED, *way, FRAME, CaptureMessage(MessageKind.ENDED, {})], monkeypatch)
    feed.run()
    assert (feed.state, feed.failures, feed.captured) == (FeedState.ENDED, 0, 1)


def test_a_process_that_gets_no_further_on_the_way_is_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = feed_of([OPENED, *[stats(0, 100)] * 20], monkeypatch)
    feed.run()
    assert (feed.state, feed.why.split(" for")[0]) == (FeedState.DEAD, "no frame")


def test_the_way_is_no_health_that_forgives_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    way = [stats(0, skipped) for skipped in range(100, 4_000, 100)]
    feed = feed_of([OPENED, *way, FRAME], monkeypatch, healthy_after_ms=20_000)
    feed.run()
    assert (feed.state, feed.failures) == (FeedState.DEAD, 2)


def test_drops_are_counted_by_reason_over_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig([OPENED, FRAME, stats_of_drops(damaged=2), stats_of_drops(damaged=3, corrupt=1)], monkeypatch)
    rig.feed.run()
    assert rig.drops.of("cam") == {"damaged": 6, "corrupt": 2}


def test_the_frame_of_a_camera_says_where_it_is_from_and_when_it_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig([opened(True), FRAME, CaptureMessage(MessageKind.ENDED, {})], monkeypatch, LIVE, max_frame_age_ms=2_000)
    rig.feed.run()
    [frame] = rig.frames
    assert (frame.source_id, frame.source_kind, frame.uri) == ("cam", SourceKind.CAMERA, "rtsp://cam/1")
    assert (frame.captured_at, frame.expires_at) == (1, 2_000_001)
    assert frame.stream_epoch > 0
    assert frame.attributes == {}


def test_the_frames_of_a_file_never_expire_and_bear_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    named = CaptureMessage(MessageKind.FRAME, {**FRAME.meta, "name": "deep/a.jpg"}, FRAME.body)
    rig = Rig([OPENED, named, CaptureMessage(MessageKind.ENDED, {})], monkeypatch, max_frame_age_ms=2_000)
    rig.feed.run()
    [frame] = rig.frames
    assert (frame.expires_at, frame.attributes, frame.image) == (None, {"file": "deep/a.jpg"}, FRAME.body)


def test_a_reader_that_waits_long_by_itself_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = [stats(0, 0)] * 18
    feed = feed_of([opened(patience_s=20.0), *silence, FRAME, CaptureMessage(MessageKind.ENDED, {})], monkeypatch)
    feed.run()
    assert (feed.state, feed.failures) == (FeedState.ENDED, 0)


def test_answers_without_a_picture_are_no_stall_and_the_camera_shows_as_failing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states: list[tuple[FeedState, str]] = []
    rig = Rig(
        [opened(True), FRAME, *[MISSED] * 20, FRAME_2, CaptureMessage(MessageKind.ENDED, {})], monkeypatch, POLLED
    )
    monkeypatch.setattr(rig.feed, "_put", lambda _frame: states.append((rig.feed.state, rig.feed.why)))
    told = rig.feed._on_missed

    def on_missed(meta: dict[str, Any], now_s: float) -> None:
        told(meta, now_s)
        states.append((rig.feed.state, rig.feed.why))

    monkeypatch.setattr(rig.feed, "_on_missed", on_missed)
    rig.feed.run()
    failing = (FeedState.FAILING, "it answers HTTP 503")
    assert states == [(FeedState.UP, "")] * 5 + [failing] * 16 + [(FeedState.UP, "")]
    assert (rig.feed.state, rig.feed.failures, rig.feed.captured) == (FeedState.ENDED, 0, 2)


def test_an_address_whose_answer_is_a_file_is_finite_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, bool]] = []
    rig = Rig([opened(False), FRAME], monkeypatch, POLLED)
    monkeypatch.setattr(rig.feed, "_set_live", lambda source_id, live: told.append((source_id, live)))
    rig.feed.run()
    assert set(told) == {("cam", False)}
    assert (rig.feed.live, rig.feed.state, rig.feed.failures) == (False, FeedState.DEAD, 2)
    assert rig.feed._task().skip_frames == 1, "the next process goes on behind the frame that was delivered"


def test_an_address_whose_answer_is_a_stream_is_opened_again_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig([opened(True), FRAME], monkeypatch, POLLED)
    tries: list[int] = []
    after = rig.feed._after

    def count(end: SessionEnd) -> None:
        after(end)
        tries.append(rig.feed._task().skip_frames)
        if len(tries) == 6:
            rig.stop.set()

    monkeypatch.setattr(rig.feed, "_after", count)
    rig.feed.run()
    assert tries == [0] * 6
    assert rig.feed.state == FeedState.DOWN


@pytest.mark.parametrize(("asked_s", "waited_s"), [(0.0, 0.001), (120.0, 120.0)])
def test_a_camera_that_asks_to_be_left_alone_is_opened_again_no_earlier(
    asked_s: float, waited_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = CaptureMessage(MessageKind.FAILED, {"why": "it answers HTTP 503", "wait_s": asked_s})
    rig = Rig([opened(True), failed], monkeypatch, POLLED)
    waits: list[float] = []

    def wait(delay_s: float) -> bool:
        waits.append(delay_s)
        rig.stop.set()
        return True

    monkeypatch.setattr(rig.stop, "wait", wait)
    rig.feed.run()
    assert waits == [pytest.approx(waited_s)]


def test_a_process_that_cannot_be_started_is_this_cameras_failure_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    feed = feed_of([], monkeypatch)
    monkeypatch.setattr(OneChild, "seat", none_left)
    feed.run()
    assert (feed.state, feed.failures) == (FeedState.DEAD, 2)
    assert feed.why == "no capture process can be started: Too many open files"
