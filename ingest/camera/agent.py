"""The camera agent from start to stop: feeds -> buffer -> route (at once, or by way of the disk) -> `frames.raw`."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from infra.kafka.clients import no_delivery_timeout
from infra.kafka.publisher import Publisher
from infra.kafka.schema_registry import registry_of
from infra.kafka.sender import FlushableSender, Sender
from infra.kafka.topics import TopicNames
from infra.process import logs, metrics
from infra.process.health import HealthServer, Probe
from infra.process.lifecycle import STOP_BUDGET_S, Stop, StopBudget
from infra.settings import Settings
from infra.status.reporter import reporting
from ingest.camera.buffer import FrameBuffer
from ingest.camera.feed import Feed, PutFrame
from ingest.camera.fleet import Fleet
from ingest.camera.losses import raise_losses
from ingest.camera.report import Reporter
from ingest.camera.session_end import FeedState
from ingest.camera.spec import CameraSpec
from ingest.capture.groups import CaptureGroups
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import ENVELOPE_BYTES, Outbox
from ingest.publish.route import Route
from ingest.publish.spool.opening import route as open_route
from schemas.registry_client import HttpRegistry

log = logs.get(__name__)

TAKE_TIMEOUT_S = 0.25
# The part of the stop budget that is kept for the flush, when the buffer drains slowly.
FLUSH_SHARE_S = 4.0
NAMED_FEEDS = 10
# A buffer that gets full again within this time is the same shortage, and is not warned of again.
SHORTAGE_S = 60.0
READY = (FeedState.UP, FeedState.FROZEN, FeedState.OFF, FeedState.ENDED)


def run(
    settings: Settings,
    specs: Sequence[CameraSpec],
    stop: Stop,
    look: Callable[[], Sequence[CameraSpec] | None] = lambda: None,
    spool: Path | None = None,
) -> None:
    """Publish the frames of all sources until every one has ended or `stop` is set.

    `look`: see Fleet. `spool`: the folder in which frames wait while Kafka is away; None: nowhere.

    Raises SightlineError when a finite source was not delivered completely; losses of live ones are counted and logged.
    """
    topic = TopicNames.for_lane(settings.topic_prefix).frames
    max_image_bytes = settings.topics.max_frame_bytes - ENVELOPE_BYTES
    buffer: FrameBuffer[OutgoingFrame] = FrameBuffer(
        settings.camera.max_buffer_bytes, settings.camera.max_buffer_frames
    )
    metrics.SOURCE_LABEL.max_sources = settings.metrics.per_source
    drops = DropCounts()
    put = into_buffer(buffer, drops)
    groups = CaptureGroups(settings.camera.group_size)

    def make_feed(spec: CameraSpec, stop: Stop, after: Feed | None) -> Feed:
        return Feed(
            spec, settings.camera, max_image_bytes, put, drops, stop, buffer.set_live, after=after, groups=groups
        )

    feeds = Fleet(make_feed, buffer, stop, look)
    publishing, ending = StopBudget(stop, STOP_BUDGET_S - FLUSH_SHARE_S), StopBudget(stop, STOP_BUDGET_S)
    with ExitStack() as closing:
        publisher = Publisher(settings, **no_delivery_timeout(settings))
        outbox = Outbox(
            publisher,
            topic,
            drops.add,
            _registry(settings, closing),
            retention_h=settings.topics.frames_retention_h,
        )

        def rate_of(source_id: str) -> float:
            fps = (feed.spec.fps for feed in feeds if feed.spec.source_id == source_id)
            return next(fps, settings.camera.fps)

        route = closing.enter_context(open_route(settings.spool, spool, outbox, rate_of))
        reporter = Reporter(feeds, outbox, buffer, drops, route, publisher.produce_wait_ms)
        health = closing.enter_context(HealthServer(settings.http, *probes(publisher, feeds)))
        feeds.apply(specs)
        closing.enter_context(feeds)

        def give_up() -> bool:
            reporter.tick()  # also while Kafka takes nothing
            return publishing.expired()

        try:
            with reporting(settings, "ingest", "live", publisher, reporter.doing, health):
                for frame in frames_to_publish(buffer, feeds, route, stop, give_up):
                    route.publish(frame, give_up)
        except Exception as error:  # noqa: BLE001 - raised below: the frames in flight are delivered first
            stop.set(error)
        flush(publisher, stop, ending)
        reporter.close()
    stop.raise_error()
    raise_losses(feeds, outbox, buffer, drops, route)


def into_buffer(
    buffer: FrameBuffer[OutgoingFrame], drops: DropCounts, clock: Callable[[], float] = time.monotonic
) -> PutFrame:
    """What a feed calls with a frame: it goes into the buffer; the frames that it replaced are counted and logged."""
    shortage_until_s = -math.inf

    def put(frame: OutgoingFrame) -> None:
        nonlocal shortage_until_s
        lost = buffer.put(frame.source_id, frame, len(frame.image))
        for one in lost:
            drops.add(one.source_id, "buffer_full")
        if lost:
            now_s = clock()
            if now_s > shortage_until_s:
                log.warning("buffer full, losing the oldest frames until Kafka takes more", source_id=lost[0].source_id)
            shortage_until_s = now_s + SHORTAGE_S

    return put


def frames_to_publish(
    buffer: FrameBuffer[OutgoingFrame], feeds: Sequence[Feed], route: Route, stop: Stop, give_up: Callable[[], bool]
) -> Iterator[OutgoingFrame]:
    """The frames in the buffer, until all feeds have ended and it is empty, or `give_up()` says to leave the rest.

    After a stop the frames on disk stay there; without one they are sent first.
    """
    while not give_up():
        route.work()
        capturing = any(feed.is_alive() for feed in feeds)  # asked before taking, so that the last frame is not missed
        if stop.is_set():
            buffer.close()
        frame = buffer.take(route.pause_s(TAKE_TIMEOUT_S), live_only=not route.has_room())
        if frame is not None:
            yield frame
        elif not capturing and not buffer.held_bytes() and (stop.is_set() or route.is_empty()):
            return


def flush(publisher: FlushableSender, stop: Stop, ending: StopBudget) -> None:
    """Wait for the delivery reports: as long as it takes, or for what a stop leaves of its budget."""
    while not stop.is_set() and publisher.flush(TAKE_TIMEOUT_S) and not publisher.fatal:
        pass
    publisher.close(ending.remaining_s() if stop.is_set() else 0.0)


def probes(publisher: Sender, feeds: Sequence[Feed]) -> tuple[Probe, Probe]:
    """Live: the Kafka client works. Ready: it does, and at least one source delivers frames or has ended."""

    def live() -> str | None:
        return f"the Kafka producer cannot go on: {publisher.fatal}" if publisher.fatal else None

    def ready() -> str | None:
        if any(feed.state in READY for feed in feeds):
            return live()
        states = (f"{feed.spec.source_id} is {feed.state} {feed.why}".strip() for feed in feeds[:NAMED_FEEDS])
        return "no frames yet: " + "; ".join(states)

    return live, ready


def _registry(settings: Settings, closing: ExitStack) -> HttpRegistry | None:
    registry = registry_of(settings)
    if registry is not None:
        closing.callback(registry.close)
    return registry
