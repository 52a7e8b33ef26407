"""What an agent tells while it runs: rates in the metrics every few seconds, and now and then a line in the log."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from infra.process import camera_metrics, logs, metrics
from infra.process.times import now_us
from infra.status.rates import Rate
from infra.status.reporter import Doing
from ingest.camera.buffer import FrameBuffer
from ingest.camera.feed import Feed
from ingest.camera.session_end import FeedState
from ingest.camera.vitals import Quality, quality_of
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import Outbox
from ingest.publish.route import Route
from ingest.publish.throughput import Throughput
from schemas.records import SourceStatus

log = logs.get(__name__)

REPORT_PERIOD_S = 5.0
REPORTS_PER_LOG_LINE = 6
# An agent with more sources tells of the first ones.
MAX_SOURCES = 1000
_STATES = {state: state.value for state in FeedState} | {FeedState.STARTING: "down", FeedState.DEAD: "down"}
_RANKS = {Quality.UNUSABLE: 0, Quality.POOR: 1, Quality.FAIR: 2, Quality.EXCELLENT: 3}


class Reporter:
    """Sets the metrics every REPORT_PERIOD_S, and logs one line in every REPORTS_PER_LOG_LINE reports."""

    def __init__(
        self,
        feeds: Sequence[Feed],
        outbox: Outbox,
        buffer: FrameBuffer[OutgoingFrame],
        drops: DropCounts,
        route: Route,
        produce_wait_ms: Callable[[], float | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feeds, self._outbox, self._buffer, self._drops, self._clock = feeds, outbox, buffer, drops, clock
        self._route, self._produce_wait_ms = route, produce_wait_ms
        self._rates: defaultdict[str, Rate] = defaultdict(Rate)
        self._taken: defaultdict[str, Rate] = defaultdict(Rate)
        self._throughput = Throughput(outbox, lambda: [feed.spec.source_id for feed in feeds], clock)
        self._due_s = clock() + REPORT_PERIOD_S
        self._reports = 0

    def tick(self) -> None:
        """Report if it is time to."""
        if self._clock() >= self._due_s:
            self._due_s = self._clock() + REPORT_PERIOD_S
            self._reports += 1
            self._report("publishing", logging.INFO if self._reports % REPORTS_PER_LOG_LINE == 0 else logging.DEBUG)

    def doing(self) -> Doing:
        """What this process tells of itself. For one thread, which may be another than that of `tick`."""
        delivered, failed, now_s = self._outbox.delivered(), self._outbox.failed(), self._clock()
        held = sum(self._buffer.held_frames().values())
        self._forget_removed()
        undelivered = sum(self._outbox.undelivered(feed.spec.source_id) for feed in self._feeds)
        sources = tuple(self._source(feed, delivered[feed.spec.source_id], now_s) for feed in self._feeds[:MAX_SOURCES])
        return Doing(
            arrived=sum(feed.captured for feed in self._feeds),
            finished=delivered.total(),
            waiting_frames=max(0, held + undelivered - failed.total()),
            produce_wait_ms=self._produce_wait_ms(),
            sources=sources,
        )

    def _forget_removed(self) -> None:
        present = {feed.spec.source_id for feed in self._feeds}
        for rates in (self._rates, self._taken):
            for source_id in rates.keys() - present:
                del rates[source_id]

    def _source(self, feed: Feed, delivered: int, now_s: float) -> SourceStatus:
        """The health of one camera, here and in the metrics."""
        source_id, vitals = feed.spec.source_id, feed.vitals
        taken_per_s = self._taken[source_id].look(vitals.taken, now_s) or 0.0
        reconnects, stalls = vitals.reconnects.count(now_s), vitals.stalls.count(now_s)
        quality = quality_of(taken_per_s, vitals.expected_per_s, reconnects, stalls) if feed.live else None
        age_s = None if vitals.last_frame_s is None else now_s - vitals.last_frame_s
        _set_metrics(source_id, taken_per_s, vitals.expected_per_s, reconnects, stalls, quality)
        return SourceStatus(
            source_id=source_id,
            state=_state(feed),
            frames_per_s=self._rates[source_id].look(delivered, now_s) or 0.0,
            last_frame_at=None if age_s is None else now_us() - int(age_s * 1e6),
            reason=feed.why or None,
            taken_per_s=taken_per_s,
            expected_per_s=vitals.expected_per_s,
            reconnects_last_hour=reconnects,
            stalls_last_hour=stalls,
            quality=quality,
            dropped=dict(self._drops.of(source_id)),
            spooled_frames=self._route.frames(source_id),
        )

    def close(self) -> None:
        """Log the last line."""
        self._report("published", logging.INFO)

    def _report(self, event: str, level: int) -> None:
        total_per_s = self._throughput.measure()
        metrics.BUFFER_BYTES.set(self._buffer.held_bytes())
        up = sum(feed.state in (FeedState.UP, FeedState.FROZEN) for feed in self._feeds)
        log.log(
            level,
            event,
            cameras_up=f"{up}/{len(self._feeds)}",
            frames=self._outbox.delivered().total(),
            frames_per_s=round(total_per_s, 1),
            waiting=sum(self._buffer.held_frames().values()),
            on_disk=sum(self._route.frames(feed.spec.source_id) for feed in self._feeds),
            failed=self._outbox.failed().total(),
            dropped=dict(self._drops.total()),
        )


def _set_metrics(
    source_id: str, fps: float, expected_fps: float, reconnects: int, stalls: int, quality: Quality | None
) -> None:
    camera_metrics.CAMERA_FPS.set(source_id, fps)
    camera_metrics.CAMERA_EXPECTED_FPS.set(source_id, expected_fps)
    camera_metrics.CAMERA_RECONNECTS_LAST_HOUR.set(source_id, reconnects)
    camera_metrics.CAMERA_STALLS_LAST_HOUR.set(source_id, stalls)
    if quality is not None:
        camera_metrics.CAMERA_QUALITY.set(source_id, _RANKS[quality])


def _state(feed: Feed) -> str:
    state = _STATES[feed.state]
    return "off" if state == "down" and feed.spec.expected_offline else state
