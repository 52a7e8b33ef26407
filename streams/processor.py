"""`sightline stream`: the wiring of the stream stage, from start to stop."""

import asyncio
import os
import threading
import time
from functools import partial
from typing import Annotated

import typer

from inference.cache.exact import open_cache
from inference.image import Prepared, Size, prepare
from inference.models import ModelInfo, describe_model
from infra.commands.options import HttpPortOption, LaneOption, ModelOption
from infra.kafka import clients
from infra.kafka.publisher import Publisher
from infra.kafka.schema_registry import registry_of
from infra.kafka.topics import Lane, TopicNames
from infra.process import logs
from infra.process.health import HealthServer
from infra.process.lifecycle import STOP_BUDGET_S, Deadline, Stop
from infra.process.memory import give_back_now_and_then, keep_freed_memory
from infra.redis.client import require_redis
from infra.settings import Settings, load_settings
from schemas.errors import Stalled
from schemas.records import PixelEncoding
from streams.decode.pool import DecodePool
from streams.retry.lane import RetryLane
from streams.source.app import build_app, ignored_keys
from streams.source.intake import Intake
from streams.stage.frames import Taken
from streams.stage.gate import Reason
from streams.stage.stage import Stage
from streams.stage.writer import Outputs
from streams.watch.monitor import Monitor, View

log = logs.get(__name__)

LOOK_S = 0.1
DRAIN_S, COMMIT_S, RETRY_CLOSE_S, LEAVE_S = 3.0, 1.5, 1.5, 2.0


def command(
    lane: LaneOption = "live",
    model: ModelOption = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="every frame goes to the model")] = False,
    http_port: HttpPortOption = None,
) -> None:
    """Turn frames into micro-batches for the workers, and frames seen before into labels."""
    stream = {"cache": False} if no_cache else {}
    settings = load_settings({"infer": {"model": model}, "stream": stream, "http": {"port": http_port}})
    logs.setup(settings.log)
    run(settings, lane)


def run(settings: Settings, lane: Lane) -> None:
    """Run until a signal. Raises what made it end otherwise; frames without an outcome will be read again."""
    info = describe_model(settings.infer.model)
    clients.require_kafka(settings)
    names = TopicNames.for_lane(settings.topic_prefix, lane)
    clients.require_topics(settings, names.frames, names.batches, names.labels, names.review, names.retry, names.dead)
    if settings.stream.cache:
        require_redis(settings)
    ignored = ignored_keys({**settings.kafka.client, **settings.kafka.consumer})
    if ignored:
        log.warning("these keys mean nothing to the stream stage's consumer (aiokafka)", keys=ignored)
    keep_freed_memory()
    give_back_now_and_then()
    stop = Stop().install()
    asyncio.run(Processor(settings, lane, info, stop).run())
    stop.raise_error()


class Processor:
    """The parts of one running stage."""

    def __init__(self, settings: Settings, lane: Lane, info: ModelInfo, stop: Stop) -> None:
        self._settings, self._lane, self._info, self._stop = settings, lane, info, stop
        self._names = TopicNames.for_lane(settings.topic_prefix, lane)
        self._beat_s = time.monotonic()

    async def run(self) -> None:
        """Start everything in the direction of the data, wait for the end, stop in the same direction."""
        settings = self._settings
        self._publisher = Publisher(settings)
        self._monitor = Monitor(settings, self._lane, self._view, self._pause, self._stop.set)
        self._pool = self._decode_pool()
        self._cache = open_cache(settings, self._info) if settings.stream.cache else None
        self._stage = Stage(self._outputs(), self._pool, self._cache, self._stop.set)
        self._app = build_app(settings, self._lane)
        self._intake = Intake(self._app, self._names.frames, self._stage, self._stop.set)
        _ = self._app.commits  # Faust makes its consumer for whoever asks first, of the loop that it finds there
        self._loop = asyncio.get_running_loop()
        self._retry = RetryLane(settings, self._lane, self._take_again, self._may_take_again, self._stop.set)
        with HealthServer(settings.http, live=self._live, ready=self._ready):
            self._monitor.start()
            self._retry.start()
            starting = asyncio.create_task(self._app.start())
            await self._until_the_end(starting)
            await self._close(Deadline(STOP_BUDGET_S))

    async def _until_the_end(self, starting: "asyncio.Task[None]") -> None:
        while not self._stop.is_set():
            self._beat_s = time.monotonic()
            if self._app.crashed:
                self._stop.set(Stalled(f"the Kafka consumer ended: {self._app.crash_reason!r}"))
            if starting.done() and starting.exception() is not None:
                self._stop.set(starting.exception())
            if self._publisher.fatal is not None:
                self._stop.set(Stalled(f"the Kafka producer ended: {self._publisher.fatal}"))
            await asyncio.sleep(LOOK_S)

    async def _close(self, deadline: Deadline) -> None:
        """Finish, acknowledge and commit what is under way, unless the process ends because it cannot."""
        threading.Thread(target=self._end_in_time, args=(deadline,), daemon=True).start()
        self._stage.gate.set(Reason.STOPPING, True)
        if self._stop.error is None:
            if not await self._intake.drain(DRAIN_S):
                log.warning("frames under way at the end will be read again", frames=self._stage.gate.frames)
            await self._app.commits.commit_within(COMMIT_S)
        await asyncio.to_thread(self._retry.close, RETRY_CLOSE_S)
        await asyncio.wait([asyncio.create_task(self._app.stop())], timeout=LEAVE_S)
        self._monitor.close()
        self._pool.close()
        if self._cache is not None:
            await self._cache.aclose()
        self._publisher.close(min(0.5, deadline.remaining_s()))
        log.info("stopped", seconds=round(STOP_BUDGET_S - deadline.remaining_s(), 1))

    def _decode_pool(self) -> DecodePool[bytes, Prepared]:
        stream, spec = self._settings.stream, self._info.input
        encoding, size = PixelEncoding(stream.encoding), Size(spec.width, spec.height, spec.resize)
        work = partial(prepare, spec=size, encoding=encoding, max_pixels=stream.max_image_pixels)
        return DecodePool(stream.decoders, work, stream.decode_timeout_ms / 1000)

    def _outputs(self) -> Outputs:
        return Outputs(
            self._settings,
            self._lane,
            self._publisher,
            self._info.ref,
            registry_of(self._settings),
            clients.partitions_of(self._settings, self._names.batches),
            self._monitor.wrote,
        )

    def _pause(self, paused: bool) -> None:
        self._loop.call_soon_threadsafe(self._stage.gate.set, Reason.BACKLOG, paused)

    def _take_again(self, taken: Taken) -> None:
        self._loop.call_soon_threadsafe(self._stage.take, taken)

    def _may_take_again(self) -> bool:
        return self._stage.gate.is_open

    def _view(self) -> View:
        live, retry = self._app.commits, self._retry
        return View(
            taken=self._stage.gate.frames + live.uncommitted,
            uncommitted=live.uncommitted,
            # Of the retry lane what is finished: a frame that waits for minutes holds up the commit of all behind it.
            commits=live.commits + retry.finished,
            steps=self._pool.steps,
            partitions=self._intake.partitions,
            beat_s=self._beat_s,
        )

    def _live(self) -> str | None:
        still_s = time.monotonic() - self._beat_s
        return None if still_s < 10 else f"the event loop stands still for {still_s:.0f} s"

    def _ready(self) -> str | None:
        if self._stop.is_set():
            return "stopping"
        return self._intake.not_ready()

    def _end_in_time(self, deadline: Deadline) -> None:
        time.sleep(deadline.remaining_s())
        # Nobody will hear the sentence otherwise: it is raised only where the event loop comes to its end.
        log.error("did not stop in time, ending the process", reason=str(self._stop.error or "asked to stop"))
        os._exit(1)
