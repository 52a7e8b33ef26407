"""The wiring of the stream stage: `build_processor` connects all parts, `Processor` starts and stops them."""

import asyncio
import os
import threading
import time
from dataclasses import dataclass
from functools import partial

from inference.cache.exact import ExactCache, open_cache
from inference.cache.scope import preparation_of
from inference.image import Prepared, SampleRange, Size, prepare
from inference.models import ModelInfo
from infra.kafka.own_partitions import OwnPartitionsWatch
from infra.kafka.publisher import Publisher
from infra.kafka.schema_registry import registry_of
from infra.kafka.start_checks import partitions_of
from infra.kafka.topic_ids import read_topic_ids
from infra.kafka.topic_watch import TopicWatch
from infra.kafka.topics import Lane, TopicNames, group
from infra.process import logs
from infra.process.health import HealthServer
from infra.process.lifecycle import STOP_BUDGET_S, Stop, StopBudget
from infra.settings import Settings
from infra.status.reporter import Doing, reporting
from schemas.errors import Stalled
from schemas.records import PixelEncoding
from streams.decode.pool import DecodePool
from streams.retry.consumer import RetryConsumer
from streams.source.app import StreamApp, build_app
from streams.source.commits import CommitsByHand
from streams.source.intake import Intake
from streams.stage.frame_stage import FrameStage
from streams.stage.gate import Reason
from streams.stage.inputs import StageInputs
from streams.stage.read_again import LookupThread
from streams.stage.writer import Outputs
from streams.watch.backlog import Backlog
from streams.watch.monitor import Monitor, StageProgress

log = logs.get(__name__)

LOOK_S = 0.1
HUNG_LOOP_S = 10.0
# Shares of the stop budget: frames in flight, their commit, the retry consumer, leaving the group, the last records.
DRAIN_S, COMMIT_S, RETRY_CLOSE_S, LEAVE_S, FLUSH_S = 3.0, 1.5, 1.5, 2.0, 0.5


async def run_processor(settings: Settings, lane: Lane, model: ModelInfo, stop: Stop) -> None:
    """Run the stage until `stop` is set."""
    await build_processor(settings, lane, model, stop).run()


def build_processor(settings: Settings, lane: Lane, model: ModelInfo, stop: Stop) -> "Processor":
    """All parts of the stage, connected. Call it in the event loop: the decode pool and Faust's consumer bind to it."""
    loop, heartbeat = asyncio.get_running_loop(), Heartbeat()
    names = TopicNames.for_lane(settings.topic_prefix, lane)

    # First, because its processes take a second to start and can do so while the rest is built.
    pool = _decode_pool(settings, model)

    # Which topics these are. All that is read and kept is true of them only, also how far the workers are.
    topic_ids = read_topic_ids(settings, [names.frames, names.retry, names.batches])

    # What the stage writes, and how far the workers are behind with it.
    publisher = Publisher(settings)
    backlog = Backlog(settings.stream.max_inflight_bytes, settings.stream.max_batch_bytes // 8)
    partitions = partitions_of(settings, names.batches)
    registry, preparation = registry_of(settings), preparation_of(settings, model)
    outputs = Outputs(settings, lane, publisher, model.ref, registry, partitions, backlog.wrote, preparation)

    # What becomes of a frame.
    cache = open_cache(settings, model) if settings.stream.cache else None
    lookup = LookupThread(settings)
    stage = FrameStage(outputs, pool, cache, lookup, stop.set)

    # Where frames come from: the source topic, and the retry topic.
    app = build_app(settings, lane, topic_ids)
    app.commits.max_ahead = settings.stream.max_frames_ahead
    app.commits.on_ahead = stage.defer_before
    intake = Intake(app, names.frames, stage, stop.set)
    retry = RetryConsumer(settings, lane, StageInputs(loop, stage), stop.set, topic_ids)

    # Who pauses the stage while the workers are behind, and ends it when it has stalled.
    progress = partial(stage_progress, stage, app.commits, retry, pool, intake, heartbeat)

    def pause(paused: bool) -> None:
        loop.call_soon_threadsafe(stage.gate.set, Reason.BACKLOG, paused)

    monitor = Monitor(settings, lane, backlog, progress, pause, stop.set)
    topic_watch = TopicWatch(settings, topic_ids, stop.set)

    # What the metrics tell of the partitions of the retry topic.
    retry_group = group("retry", settings.topic_prefix, lane)
    retry_watch = OwnPartitionsWatch.of(settings, retry_group, names.retry, retry.progress)

    return Processor(
        settings,
        lane,
        stop,
        heartbeat,
        publisher,
        pool,
        cache,
        lookup,
        stage,
        app,
        intake,
        retry,
        retry_watch,
        monitor,
        topic_watch,
    )


def stage_progress(
    stage: FrameStage,
    commits: CommitsByHand,
    retry: RetryConsumer,
    pool: DecodePool[bytes, Prepared],
    intake: Intake,
    heartbeat: "Heartbeat",
) -> StageProgress:
    """What the monitor judges the stage by. For any thread."""
    return StageProgress(
        taken=stage.gate.frames + commits.uncommitted,
        uncommitted=commits.uncommitted,
        # Of retried frames those finished: a frame that waits for minutes holds up the commit of all frames behind it.
        commits=commits.commits + retry.finished,
        steps=pool.steps,
        partitions=intake.partitions,
        newest_ms=commits.progress.newest_ms(),
        beat_s=heartbeat.beat_s,
    )


class Heartbeat:
    """When the event loop last ran. Any thread may ask."""

    def __init__(self) -> None:
        self.beat_s = time.monotonic()

    def beat(self) -> None:
        self.beat_s = time.monotonic()

    def hung(self) -> str | None:
        """None while the event loop runs, else for how long it has not."""
        silent_s = time.monotonic() - self.beat_s
        return None if silent_s < HUNG_LOOP_S else f"the event loop has not run for {silent_s:.0f} s"


@dataclass(frozen=True, slots=True)
class Processor:
    """The parts of one running stage."""

    settings: Settings
    lane: Lane
    stop: Stop
    heartbeat: Heartbeat
    publisher: Publisher
    pool: DecodePool[bytes, Prepared]
    cache: ExactCache | None
    lookup: LookupThread
    stage: FrameStage
    app: StreamApp
    intake: Intake
    retry: RetryConsumer
    retry_watch: OwnPartitionsWatch
    monitor: Monitor
    topic_watch: TopicWatch

    async def run(self) -> None:
        """Start the parts, wait until `stop` is set, end the parts."""
        labels = {"lane": self.lane}
        health = HealthServer(self.settings.http, self.heartbeat.hung, self._not_ready, labels=labels)
        with health, self.retry_watch:
            with reporting(self.settings, "stream", self.lane, self.publisher, self._doing, health):
                self.monitor.start()
                self.topic_watch.start()
                self.retry.start()
                starting = asyncio.create_task(self.app.start())
                await self._until_stop(starting)
            await self._close(StopBudget(self.stop))

    async def _until_stop(self, starting: "asyncio.Task[None]") -> None:
        while not self.stop.is_set():
            self.heartbeat.beat()
            if self.app.crashed:
                self.stop.set(Stalled(f"the Kafka consumer ended: {self.app.crash_reason!r}"))
            if starting.done() and starting.exception() is not None:
                self.stop.set(starting.exception())
            if self.publisher.fatal is not None:
                self.stop.set(Stalled(f"the Kafka producer ended: {self.publisher.fatal}"))
            await asyncio.sleep(LOOK_S)

    async def _close(self, budget: StopBudget) -> None:
        """Finish and commit the frames in flight, unless an error ends the process; then end the parts."""
        threading.Thread(target=self._end_in_time, args=(budget,), name="stop-budget", daemon=True).start()
        self.stage.gate.set(Reason.STOPPING, True)
        if self.stop.error is None:
            if not await self.intake.drain(DRAIN_S):
                log.warning("frames in flight at the end will be read again", frames=self.stage.gate.frames)
            await self.app.commits.commit_within(COMMIT_S)
        await asyncio.to_thread(self.retry.close, RETRY_CLOSE_S)
        await asyncio.wait([asyncio.create_task(self.app.stop())], timeout=LEAVE_S)
        self.topic_watch.close()
        self.monitor.close()
        self.pool.close()
        self.lookup.close()
        if self.cache is not None:
            await self.cache.aclose()
        self.publisher.close(budget.at_most_s(FLUSH_S))
        log.info("stopped", seconds=round(STOP_BUDGET_S - budget.remaining_s(), 1))

    def _doing(self) -> Doing:
        """What this process tells of itself. For any thread."""
        return Doing(
            paused="the workers are behind" if self.stage.gate.is_behind else None,
            waiting_frames=self.stage.gate.frames,
            produce_wait_ms=self.publisher.produce_wait_ms(),
        )

    def _not_ready(self) -> str | None:
        return "stopping" if self.stop.is_set() else self.intake.not_ready()

    def _end_in_time(self, budget: StopBudget) -> None:
        """End the process when the stop budget is used up. It logs the reason, which is then raised nowhere."""
        time.sleep(budget.remaining_s())
        log.error("did not stop in time, ending the process", reason=str(self.stop.error or "asked to stop"))
        os._exit(1)


def _decode_pool(settings: Settings, model: ModelInfo) -> DecodePool[bytes, Prepared]:
    stream, spec = settings.stream, model.input
    encoding, size = PixelEncoding(stream.encoding), Size(spec.width, spec.height, spec.resize)
    work = partial(
        prepare,
        spec=size,
        encoding=encoding,
        max_pixels=stream.max_image_pixels,
        sample_range=SampleRange.parse(stream.sample_range),
    )
    return DecodePool(stream.decoders, work, stream.decode_timeout_ms / 1000)
