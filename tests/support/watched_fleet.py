"""Cameras that run in groups without Kafka, and what came out of them."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from infra.process.lifecycle import Stop
from infra.settings import CameraSettings
from ingest.camera.buffer import FrameBuffer
from ingest.camera.feed import Feed
from ingest.camera.fleet import Fleet
from ingest.camera.spec import CameraSpec
from ingest.capture.groups import CaptureGroups
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from tests.support.cameras import MAX_IMAGE_BYTES, PATIENCE_S, SETTINGS
from tests.support.watched_feed import capture_processes


class WatchedFleet:
    """`epochs` are those of each camera in the order of its frames, `counts` how many frames it gave."""

    def __init__(self, group_size: int, settings: CameraSettings) -> None:
        self.stop, self.drops = Stop(), DropCounts()
        self.groups = CaptureGroups(group_size)
        self.epochs: defaultdict[str, list[int]] = defaultdict(list)
        self.counts: defaultdict[str, int] = defaultdict(int)
        # What a feed calls; a test may put another one here.
        self.put: Callable[[OutgoingFrame], None] = self._count
        buffer: FrameBuffer[OutgoingFrame] = FrameBuffer(1 << 20, 2)

        def make_feed(spec: CameraSpec, stop: Stop, after: Feed | None) -> Feed:
            return Feed(spec, settings, MAX_IMAGE_BYTES, self.put, self.drops, stop, after=after, groups=self.groups)

        self.fleet = Fleet(make_feed, buffer, self.stop)

    def _count(self, frame: OutgoingFrame) -> None:
        self.counts[frame.source_id] += 1
        if frame.stream_epoch not in self.epochs[frame.source_id]:
            self.epochs[frame.source_id].append(frame.stream_epoch)

    def apply(self, specs: Sequence[CameraSpec]) -> None:
        self.fleet.apply(specs)

    def until(self, condition: Callable[[], bool]) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until_s, [(one.spec.source_id, one.state, one.why) for one in self.fleet]
            time.sleep(0.02)

    def until_more(self, names: Sequence[str], frames: int = 3) -> None:
        """Wait until each of these cameras has given that many frames more."""
        before = dict(self.counts)
        self.until(lambda: all(self.counts[name] >= before.get(name, 0) + frames for name in names))


@contextmanager
def watched_fleet(group_size: int, settings: CameraSettings = SETTINGS) -> Iterator[WatchedFleet]:
    """A fleet without a camera yet, stopped at the end of the block; it must leave no process behind."""
    watched = WatchedFleet(group_size, settings)
    with watched.fleet:
        yield watched
        watched.stop.set()
    watched.stop.raise_error()
    assert not capture_processes()
