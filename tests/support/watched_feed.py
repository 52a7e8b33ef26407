"""A feed that runs, and what came out of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from infra.process.lifecycle import Stop
from infra.settings import CameraSettings
from ingest.camera.feed import Feed
from ingest.camera.spec import CameraSpec
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from tests.support.cameras import MAX_IMAGE_BYTES, PATIENCE_S, SETTINGS


class WatchedFeed:
    """A feed with its capture process, the frames that it put out, and what it dropped."""

    def __init__(self, spec: CameraSpec, settings: CameraSettings = SETTINGS) -> None:
        self.stop = Stop()
        self.captured: list[OutgoingFrame] = []
        self.drops = DropCounts()
        self.feed = Feed(spec, settings, MAX_IMAGE_BYTES, self.captured.append, self.drops, self.stop)
        self.feed.start()

    def until(self, condition: Callable[[], bool]) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until_s, f"{self.feed.state} {self.feed.why} after {len(self.captured)} frames"
            time.sleep(0.05)

    def epochs(self) -> list[int]:
        return sorted({one.stream_epoch for one in self.captured})

    @staticmethod
    def capture_process() -> psutil.Process:
        """Every capture process of this test process; there must be one."""
        [found] = capture_processes()
        return found


def capture_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "ingest.capture.main" in child.cmdline()]


@contextmanager
def watched_feed(spec: CameraSpec, settings: CameraSettings = SETTINGS) -> Iterator[WatchedFeed]:
    """The feed of a camera, stopped at the end of the block; it must leave no process behind."""
    watched = WatchedFeed(spec, settings)
    try:
        yield watched
    finally:
        watched.stop.set()
        watched.feed.join(10)
        assert not watched.feed.is_alive()
        watched.stop.raise_error()
    assert not capture_processes()
