"""What a feed makes of what its capture process tells while it goes to where an earlier one was killed."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

import ingest.camera.feed
from infra.process.lifecycle import Stop
from ingest.camera.feed import Feed, State
from ingest.camera.spec import CameraSpec
from ingest.capture.wire import Message, Tell
from ingest.sources.parse import Kind, Source
from schemas.records import Encoding
from tests.support.cameras import SETTINGS

STATS_PERIOD_S = 1.0
OPENED = Message(Tell.OPENED, {"expected_per_s": 25.0})
FRAME = Message(Tell.FRAME, {"index": 1, "captured_at": 1, "encoding": Encoding.JPEG, "name": ""}, b"\xff\xd8\xff")


def stats(captured: int, skipped: int) -> Message:
    return Message(Tell.STATS, {"captured": captured, "skipped": skipped, "dropped": {}})


class Child:
    """A capture process that tells these messages, one a second, and then crashes if it did not end."""

    def __init__(self, messages: list[Message], clock: SimpleNamespace) -> None:
        self._messages, self._clock = list(messages), clock

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, _timeout_s: float) -> Message:
        self._clock.s += STATS_PERIOD_S
        if not self._messages:
            raise EOFError
        return self._messages.pop(0)

    def cause_of_death(self) -> str:
        return "the capture process crashed"


def stats_of_drops(**dropped: int) -> Message:
    return Message(Tell.STATS, {"captured": 1, "skipped": 0, "dropped": dropped})


def feed_of(messages: list[Message], monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Feed:
    clock = SimpleNamespace(s=1.0, time_ns=time.time_ns)
    clock.monotonic = lambda: clock.s
    monkeypatch.setattr(ingest.camera.feed, "time", clock)
    monkeypatch.setattr(ingest.camera.feed, "CaptureChild", lambda *_: Child(messages, clock))
    spec = CameraSpec("cam", Source(Kind.VIDEO, "v.mp4", "v.mp4"), 5.0, False, 90)
    changes = {"backoff_initial_ms": 1, "backoff_max_ms": 1, "max_failures": 2, **settings}
    return Feed(spec, SETTINGS.model_copy(update=changes), 1 << 20, lambda _captured: None, Stop())


def test_a_long_way_to_where_the_last_process_was_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    way = [stats(0, skipped) for skipped in range(100, 4_000, 100)]
    feed = feed_of([OPENED, *way, FRAME, Message(Tell.ENDED, {})], monkeypatch)
    feed.run()
    assert (feed.state, feed.failures, feed.captured) == (State.ENDED, 0, 1)


def test_a_process_that_gets_no_further_on_the_way_is_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = feed_of([OPENED, *[stats(0, 100)] * 20], monkeypatch)
    feed.run()
    assert (feed.state, feed.why.split(" for")[0]) == (State.DEAD, "no frame")


def test_the_way_is_no_health_that_forgives_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    way = [stats(0, skipped) for skipped in range(100, 4_000, 100)]
    feed = feed_of([OPENED, *way, FRAME], monkeypatch, healthy_after_ms=20_000)
    feed.run()
    assert (feed.state, feed.failures) == (State.DEAD, 2)


def test_drops_are_counted_by_reason_over_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = feed_of([OPENED, FRAME, stats_of_drops(damaged=2), stats_of_drops(damaged=3, corrupt=1)], monkeypatch)
    feed.run()
    feed.drop("stale")
    assert feed.dropped() == {"damaged": 6, "corrupt": 2, "stale": 1}


def test_a_long_read_time_out_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = [stats(0, 0)] * 18
    feed = feed_of([OPENED, *silence, FRAME, Message(Tell.ENDED, {})], monkeypatch, read_timeout_ms=20_000)
    feed.run()
    assert (feed.state, feed.failures) == (State.ENDED, 0)


def test_a_process_that_cannot_be_started_is_this_cameras_failure_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    feed = feed_of([], monkeypatch)
    monkeypatch.setattr(ingest.camera.feed, "CaptureChild", none_left)
    feed.run()
    assert (feed.state, feed.failures) == (State.DEAD, 2)
    assert feed.why == "no capture process can be started: Too many open files"
