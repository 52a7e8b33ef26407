"""`sightline infer`: a member of the workers' consumer group, from micro-batches to labels.

frames.batches -> poll thread -> Staging (bounded queue, runs laid out) -> device thread -> label thread
    -> Delivery (at least once | exactly once) -> labels, labels.review, frames.retry, frames.dead
    -> offsets -> cache
"""

import os
import sys
from dataclasses import dataclass
from traceback import format_exception
from typing import Annotated, Any, Literal

import typer

from inference.cache.exact import open_cache
from inference.cache.writer import CacheWriter
from inference.device.jpeg import jpeg_decoder
from inference.device.staging import Staging
from inference.models import Model, load_model
from inference.worker.delivery.at_least_once import AtLeastOnce, Delivery, Progress
from inference.worker.delivery.exactly_once import Transactional
from inference.worker.group.clients import group_consumer, reset_policy, stands_by, worker_producer
from inference.worker.group.ownership import Ownership
from inference.worker.group.watchdog import GroupWatch, Hunger, Place, Watchdog
from inference.worker.labels_out import LabelsOut
from inference.worker.loop import WorkerLoop
from inference.worker.pipeline import Pipeline
from inference.worker.refetch import Refetch
from inference.worker.settled import Settled
from infra.commands.options import HttpPortOption, LaneOption, ModelOption
from infra.failures.breaker import Breaker
from infra.kafka.clients import bootstrap, max_record_bytes, require_kafka, require_topics
from infra.kafka.consumer import END, CommitReport
from infra.kafka.group_offsets import GroupOffsets
from infra.kafka.publisher import Publisher
from infra.kafka.schema_registry import registry_of
from infra.kafka.start_offsets import StartOffsets, first_offset
from infra.kafka.topics import Lane, TopicNames, group
from infra.kafka.transaction import init_transactions
from infra.process import logs, metrics
from infra.process.health import HealthServer
from infra.process.lifecycle import STOP_BUDGET_S, Deadline, Stop
from infra.process.memory import give_back_now_and_then
from infra.redis.client import require_redis
from infra.settings import InferSettings, Settings, load_settings
from schemas.errors import SightlineError, Stalled

log = logs.get(__name__)

# Frames read and not settled: enough to hide a round trip to Kafka at thousands of frames a second.
MAX_OPEN_RUNS, MIN_OPEN_FRAMES = 64, 2_048
INIT_TRANSACTIONS_S = 60.0
# Of the budget at the stop, what the interpreter needs to end.
EXIT_S = 1.0


def command(
    lane: LaneOption = "live",
    model: ModelOption = None,
    delivery: Annotated[
        Literal["at_least_once", "exactly_once"] | None, typer.Option(help="How labels and offsets are written.")
    ] = None,
    cache: Annotated[bool | None, typer.Option("--cache/--no-cache", help="Store labels for repeat images.")] = None,
    http_port: HttpPortOption = None,
) -> None:
    """The GPU worker: micro-batches to labels."""
    flags: dict[str, Any] = {
        "infer": {"model": model, "delivery": delivery, "cache": cache},
        "http": {"port": http_port},
    }
    settings = load_settings(flags)
    logs.setup(settings.log)
    serve(settings, lane, Stop().install())


def serve(settings: Settings, lane: Lane, stop: Stop) -> None:
    """Until `stop`. Everything needed is checked, then the model loaded, then the group joined."""
    names = TopicNames.for_lane(settings.topic_prefix, lane)
    require_kafka(settings)
    require_topics(settings, names.batches, names.labels, names.review, names.retry, names.dead)
    if settings.infer.cache:
        require_redis(settings)
    give_back_now_and_then()
    status = Status(stop)
    with HealthServer(settings.http, live=status.live, ready=status.ready):
        model = stop.unless_stopped(lambda: warm_model(settings.infer))
        if model is not None:
            status.worker = Worker(settings, lane, names, model, stop)
            status.worker.run()
    stop.raise_error()


def warm_model(infer: InferSettings) -> Model:
    """Loaded, converted if it never was (tens of seconds), and run once with each batch size it will see."""
    model = load_model(infer.model, infer)
    model.warm(warm_sizes(infer.max_batch_size))
    metrics.MODEL_READY.set(1)
    log.info("model ready", model=model.ref.name, version=model.ref.version, runtime=model.runtime)
    return model


@dataclass(slots=True)
class Status:
    """What the probes answer."""

    stop: Stop
    worker: "Worker | None" = None

    def live(self) -> str | None:
        if self.stop.error is not None:
            return str(self.stop.error) or type(self.stop.error).__name__
        return self.worker.watchdog.reason if self.worker else None

    def ready(self) -> str | None:
        if self.stop.is_set():
            return "stopping"
        if self.worker is None:
            return "the model is being loaded"
        return None if self.worker.loop.has_joined else "waiting for partitions"


class Worker:
    """The wiring of one worker around a model that is loaded and warm."""

    def __init__(self, settings: Settings, lane: Lane, names: TopicNames, model: Model, stop: Stop) -> None:
        infer = settings.infer
        registry = registry_of(settings)
        self._stop = stop
        self._ownership = Ownership()
        self._cache = CacheWriter(open_cache(settings, model.info)) if infer.cache else None
        self._settled = Settled(Breaker(settings.breaker), self._cache)
        self._progress = Progress(self._settled)
        self._refetch = Refetch(settings)
        self._staging = Staging(
            model.input,
            infer.max_batch_size,
            infer.max_queue_delay_ms,
            decode_jpeg=jpeg_decoder(model.input, settings.stream.max_image_pixels),
            decode_threads=settings.stream.decoders,
        )
        self._tells_statistics = False
        group_id, first = group("infer", settings.topic_prefix, lane), first_offset(reset_policy(settings))
        self._consumer = group_consumer(settings, group_id, self._on_commit, self._on_statistics)
        self._delivery = self._make_delivery(settings, group_id)
        self._pipeline = Pipeline(
            model,
            self._staging,
            self._ownership,
            LabelsOut(
                names,
                settings.retry,
                self._refetch,
                with_review=lane == "live",
                registry=registry,
                max_record_bytes=max_record_bytes(settings),
            ),
            self._delivery,
            stop,
            infer.retry_limit_ms,
            infer.min_probability,
        )
        self.loop = WorkerLoop(
            self._consumer,
            names.batches,
            model.input,
            self._staging,
            self._ownership,
            self._delivery,
            StartOffsets(self._consumer, first),
            stop,
            max_bytes=infer.max_queue_bytes,
            max_frames=max(MAX_OPEN_RUNS * infer.max_batch_size, MIN_OPEN_FRAMES),
            registry=registry,
        )
        if isinstance(self._delivery, Transactional):
            self._delivery.rewind = self.loop.rewind
        self._group_watch = GroupWatch(
            GroupOffsets(settings, group_id, names.batches),
            self._place,
            Hunger(infer.stall_timeout_ms, first == END),
        )
        self.watchdog = Watchdog(
            self.loop.work_waits,
            lambda: self._progress.last_s,
            lambda: self._group_watch.reason,
            infer.stall_timeout_ms,
            stop,
        )

    def run(self) -> None:
        """Raises what ended it, if it was not asked to end."""
        self._pipeline.start()
        with self._group_watch, self.watchdog:
            try:
                self.loop.run()
            except BaseException as error:  # noqa: BLE001 - raised below, once everything is closed
                self._stop.set(error)
            self._stop.set()
            self._close(Deadline(STOP_BUDGET_S - EXIT_S))
        self._stop.raise_error()

    def _make_delivery(self, settings: Settings, group_id: str) -> Delivery:
        infer = settings.infer
        if infer.delivery == "at_least_once":
            return AtLeastOnce(
                Publisher(settings),
                self._consumer,
                self._ownership,
                self._progress,
                self._stop,
                infer.commit_interval_ms,
            )
        producer = worker_producer(settings, group_id)
        init_transactions(producer, bootstrap(settings), self._stop, INIT_TRANSACTIONS_S)
        metadata = self._consumer.group_metadata
        return Transactional(producer, metadata, self._ownership, self._progress, self._stop, infer.transaction_ms)

    def _on_commit(self, report: CommitReport) -> None:
        if isinstance(self._delivery, AtLeastOnce):
            self._delivery.on_commit(report)

    def _place(self) -> Place:
        outside = self._tells_statistics and not self.loop.has_joined  # before the first statistics nobody knows
        return Place(self.loop.owned(), outside, self._progress.last_s)

    def _on_statistics(self, statistics: str) -> None:
        self._tells_statistics = True
        if not self.loop.has_joined and stands_by(statistics):
            self.loop.has_joined = True
            log.info("the group has no partition for this worker: standing by")

    def _close(self, deadline: Deadline) -> None:
        log.info("stopping")
        try:
            self.loop.close(deadline, self._pipeline.join)
        except SightlineError as error:
            self._stop.set(error)
        if self._cache is not None:
            self._cache.close(min(1.0, deadline.remaining_s()))
        self._refetch.close()
        has_left, stuck = self._consumer.close_within(deadline), self._pipeline.stuck()
        if stuck and self._stop.error is None:
            self._stop.set(Stalled(f"the {stuck[0]} thread hangs"))
        if stuck or not has_left:
            # A thread inside a hanging model or client can keep the interpreter from ending.
            os._exit(tell(self._stop.error))


def tell(error: BaseException | None) -> int:
    """What a process that cannot unwind says of its end, and its exit code."""
    if error is None:
        return 0
    text = f"sightline: {error}\n" if isinstance(error, SightlineError) else "".join(format_exception(error))
    print(text, end="", file=sys.stderr, flush=True)
    return 1


def warm_sizes(max_batch_size: int) -> tuple[int, ...]:
    """1, 2, 4, ... and the largest: what runs of any size are like."""
    powers = (2**power for power in range(max_batch_size.bit_length()))
    return tuple(sorted({size for size in powers if size < max_batch_size} | {max_batch_size}))
