"""What an agent says of the frames that it lost, and that it delivers what is queued however it ends."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

import ingest.camera.command
from infra.process.lifecycle import Stop
from infra.settings import load_settings
from ingest.camera.agent import REPORT_PERIOD_S, REPORTS_PER_LOG_LINE, SHORTAGE_S, Reporter, outlet, raise_losses
from ingest.camera.buffer import FrameBuffer
from ingest.camera.feed import Captured, Feed
from ingest.publish.outbox import Outbox
from schemas.records import Encoding
from tests.support.cameras import MAX_IMAGE_BYTES, SETTINGS, spec_of
from tests.support.memory_sender import MemorySender


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def feed() -> Feed:
    return Feed(spec_of("sim:coffee"), SETTINGS, MAX_IMAGE_BYTES, lambda _captured: None, Stop())


def buffer_of(feed: Feed) -> FrameBuffer[Captured]:
    buffer: FrameBuffer[Captured] = FrameBuffer(1 << 20, max_frames=2)
    buffer.add_source(feed.spec.source_id, live=True)
    return buffer


def events(lines: list[Any], event: str) -> list[Any]:
    return [line for line in lines if line["event"].startswith(event)]


def test_a_buffer_that_gets_full_is_told_of_once_a_shortage(feed: Feed) -> None:
    clock = Clock()
    put = outlet(buffer_of(feed), clock)
    with capture_logs() as lines:
        for pause_s in (0.1, 0.1, 0.1, 0.1, SHORTAGE_S - 1, SHORTAGE_S + 1, 0.1):
            clock.s += pause_s
            put(Captured(feed, 1, 1, 1, Encoding.JPEG, b"x", ""))
    assert feed.dropped() == {"buffer_full": 5}
    assert [line["log_level"] for line in events(lines, "buffer full")] == ["warning", "warning"]


def test_the_report_lines_name_what_was_dropped(feed: Feed) -> None:
    clock = Clock()
    reporter = Reporter([feed, feed], Outbox(MemorySender(), "frames.raw"), buffer_of(feed), clock)
    feed.drop("buffer_full", 2)
    feed.drop("rate_limit", 5)
    with capture_logs() as lines:
        for _ in range(REPORTS_PER_LOG_LINE):
            clock.s += REPORT_PERIOD_S
            reporter.tick()
        reporter.close()
    dropped = {"buffer_full": 4, "rate_limit": 10}
    assert events(lines, "publishing")[-1]["dropped"] == events(lines, "published")[-1]["dropped"] == dropped


def test_the_end_names_what_each_camera_lost_but_not_what_was_not_asked_for(feed: Feed) -> None:
    feed.drop("stale", 3)
    feed.drop("rate_limit", 5)
    with capture_logs() as lines:
        raise_losses([feed], Outbox(MemorySender(), "frames.raw"), buffer_of(feed))
    [line] = events(lines, "frames dropped")
    assert (line["source_id"], line["frames"], line["log_level"]) == ("cam", {"stale": 3}, "warning")


def test_what_is_queued_is_delivered_also_when_the_agent_ends_by_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    closed_after_s: list[float] = []
    publisher = SimpleNamespace(fatal=None, flush=lambda _s: 1, close=closed_after_s.append)

    def defect(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(ingest.camera.command, "Publisher", lambda *_, **__: publisher)
    monkeypatch.setattr(ingest.camera.command, "HealthServer", lambda *_: nullcontext())
    monkeypatch.setattr(ingest.camera.command, "frames", defect)
    stop = Stop()
    with pytest.raises(RuntimeError, match="a defect"):
        ingest.camera.command.run(load_settings({}), [], stop)
    assert stop.is_set()
    assert closed_after_s[0] > 1.0
