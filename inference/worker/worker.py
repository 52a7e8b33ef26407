"""One worker, put together: from micro-batches to labels.

frames.batches -> poll thread -> Staging (bounded queue, next run is filled) -> device thread -> labels thread
    -> Delivery (at least once | exactly once) -> labels, labels.review, frames.retry, frames.dead
    -> offsets -> cache
"""

import os
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from inference.cache.exact import open_cache
from inference.cache.scope import preparation_of
from inference.cache.writer import CacheWriter
from inference.device.device import Device
from inference.device.jpeg import jpeg_decoder
from inference.device.staging import Staging
from inference.device.work import Work
from inference.labelling.decision_metrics import DecisionMetrics, drift_exported
from inference.models import Model
from inference.worker.after_delivery import AfterDelivery
from inference.worker.delivery.at_least_once import AtLeastOnce
from inference.worker.delivery.base import Delivery
from inference.worker.delivery.exactly_once import ExactlyOnce
from inference.worker.group.clients import group_consumer, worker_producer
from inference.worker.group.joining import Joining
from inference.worker.group.rewind import Rewind
from inference.worker.group.starvation import GroupWatch, MemberView, StarvationRule
from inference.worker.group.work_in_flight import WorkInFlight
from inference.worker.labels_out import LabelsOut
from inference.worker.loop import ReadLimits, WorkerLoop
from inference.worker.pipeline import Pipeline
from inference.worker.stall_watchdog import StallWatchdog
from infra.failures.breaker import Breaker
from infra.failures.unknown_versions import VersionGuard
from infra.kafka.clients import bootstrap, max_record_bytes
from infra.kafka.consumer import CommitReport, GroupConsumer
from infra.kafka.group_offsets import GroupOffsets
from infra.kafka.lookup import RecordLookup
from infra.kafka.own_partitions import OwnPartitions
from infra.kafka.publisher import Publisher
from infra.kafka.schema_registry import registry_of
from infra.kafka.start_offsets import StartOffsets
from infra.kafka.topic_ids import TopicIds, read_topic_ids
from infra.kafka.topic_watch import TopicWatch
from infra.kafka.topics import Lane, TopicNames, group
from infra.kafka.transaction import init_transactions
from infra.process import logs
from infra.process.lifecycle import STOP_BUDGET_S, Deadline, Stop, StopBudget, print_end
from infra.settings import InferSettings, Settings
from infra.status.reporter import Doing
from schemas.errors import SightlineError, Stalled
from schemas.records import PixelEncoding

log = logs.get(__name__)

# Frames that are read and not finished: enough to hide a round trip to Kafka at thousands of frames a second.
MAX_OPEN_RUNS, MIN_OPEN_FRAMES = 64, 2_048
INIT_TRANSACTIONS_S = 60.0
# The part of the stop's time budget that is left for the interpreter to end.
EXIT_S = 1.0
# For this process's last word about itself; labels were written before.
FLUSH_S = 0.5


def build_worker(settings: Settings, lane: Lane, names: TopicNames, device: Device, stop: Stop) -> "Worker":
    """The worker around a loaded, warm model. The group is not joined and no batch is read before `run`.

    With exactly once, it waits until the broker has ended the transaction of an earlier worker of the same id.
    """
    infer, registry, model = settings.infer, registry_of(settings), device.model
    group_id = group("infer", settings.topic_prefix, lane)
    in_flight, joining, commit_reports = WorkInFlight(), Joining(), deque[CommitReport]()
    # Before anything is read: an id that is read later could be that of a topic which was made again meanwhile.
    topic_ids = read_topic_ids(settings, [names.batches])

    consumer = group_consumer(settings, group_id, commit_reports.append, joining.on_statistics, topic_ids)
    staging = _staging(settings, model)
    cache = _cache_writer(settings, model) if infer.cache else None
    decisions = DecisionMetrics(settings.confidence)
    after_delivery = AfterDelivery(Breaker(settings.breaker), cache, decisions)
    # Exactly once, labels go through a producer of their own.
    publisher = Publisher(settings)
    delivery: Delivery
    if infer.delivery == "exactly_once":
        rewind = Rewind(consumer, in_flight, staging)
        delivery = _exactly_once(settings, group_id, consumer, topic_ids, in_flight, after_delivery, rewind, stop)
    else:
        delivery = AtLeastOnce(
            publisher, consumer, commit_reports, in_flight, after_delivery, stop, infer.commit_interval_ms
        )
    lookup = RecordLookup(settings)
    labels_out = LabelsOut(
        names,
        settings.retry,
        lookup,
        with_review=lane == "live",
        registry=registry,
        max_record_bytes=max_record_bytes(settings),
    )
    pipeline = Pipeline(
        device, staging, in_flight, labels_out, delivery, stop, infer.retry_limit_ms, infer.min_probability
    )
    loop = WorkerLoop(
        consumer,
        names.batches,
        model.input,
        registry,
        staging,
        in_flight,
        joining=joining,
        delivery=delivery,
        start_offsets=StartOffsets(consumer),
        guard=VersionGuard("this worker", infer.pass_over),
        limits=_read_limits(infer),
        stop=stop,
        group=group_id,
    )
    group_watch = GroupWatch(
        GroupOffsets(settings, group_id, names.batches),
        lambda: MemberView(in_flight.numbers(), joining.is_outside, in_flight.last_commit_s, in_flight.newest_ms()),
        StarvationRule(infer.stall_timeout_ms),
        OwnPartitions(group_id, names.batches),
    )
    watchdog = StallWatchdog(
        loop.work_waits,
        lambda: in_flight.last_commit_s,
        lambda: group_watch.reason,
        infer.stall_timeout_ms,
        stop,
    )
    topic_watch = TopicWatch(settings, topic_ids, stop.set)
    return Worker(
        loop,
        pipeline,
        consumer,
        joining,
        topic_watch,
        group_watch,
        watchdog,
        lookup,
        cache,
        in_flight,
        publisher,
        decisions,
        stop,
    )


@dataclass(frozen=True, slots=True)
class Worker:
    """`run` it once, in the main thread; the other threads and the order of the stop are its business."""

    loop: WorkerLoop
    pipeline: Pipeline
    consumer: GroupConsumer
    joining: Joining
    topic_watch: TopicWatch
    group_watch: GroupWatch
    watchdog: StallWatchdog
    lookup: RecordLookup
    cache: CacheWriter | None
    in_flight: WorkInFlight
    publisher: Publisher
    decisions: DecisionMetrics
    stop: Stop

    def doing(self) -> Doing:
        """What this process tells of itself. For any thread."""
        batches, frames = self.loop.batches, self.loop.frames
        return Doing(
            arrived=frames,
            waiting_frames=self.in_flight.frames,
            frames_per_record=frames / batches if batches else 1.0,
            produce_wait_ms=self.publisher.produce_wait_ms(),
        )

    def run(self, reporting: AbstractContextManager[None]) -> None:
        """Until `stop`, and `reporting` as long. Raises the error that ended it, if it was not asked to end."""
        self.pipeline.start()
        with self.topic_watch, self.group_watch, self.watchdog, drift_exported(self.decisions):
            try:
                with reporting:
                    self.loop.run()
            except BaseException as error:  # noqa: BLE001 - raised below, once everything is closed
                self.stop.set(error)
            self.stop.set()
            self._close(Deadline(StopBudget(self.stop, STOP_BUDGET_S - EXIT_S).remaining_s()))
        self.stop.raise_error()

    def _close(self, deadline: Deadline) -> None:
        log.info("stopping")
        try:
            self.loop.close(deadline, self.pipeline.join)
        except SightlineError as error:
            self.stop.set(error)
        if self.cache is not None:
            self.cache.close(min(1.0, deadline.remaining_s()))
        self.lookup.close()
        self.publisher.close(min(FLUSH_S, deadline.remaining_s()))
        has_left, stuck = self.consumer.close_within(deadline), self.pipeline.stuck()
        if stuck and self.stop.error is None:
            self.stop.set(Stalled(f"the {stuck[0]} thread hangs"))
        if stuck or not has_left:
            # A thread that hangs inside a model or a client can keep the interpreter from ending.
            os._exit(print_end(self.stop.error))


def _staging(settings: Settings, model: Model) -> Staging:
    return Staging(
        model.input,
        settings.infer.max_batch_size,
        settings.infer.max_queue_delay_ms,
        decode_jpeg=jpeg_decoder(model.input, settings.stream),
        decode_threads=settings.stream.decoders,
    )


def _cache_writer(settings: Settings, model: Model) -> CacheWriter:
    of_jpeg = preparation_of(settings, model.info, PixelEncoding.JPEG)
    return CacheWriter(open_cache(settings, model.info), of_jpeg, settings.infer.cache_embeddings)


def _read_limits(infer: InferSettings) -> ReadLimits:
    return ReadLimits(
        max_bytes=infer.max_queue_bytes, max_frames=max(MAX_OPEN_RUNS * infer.max_batch_size, MIN_OPEN_FRAMES)
    )


def _exactly_once(
    settings: Settings,
    group_id: str,
    consumer: GroupConsumer,
    topic_ids: TopicIds,
    in_flight: WorkInFlight,
    after_delivery: Callable[[Work], None],
    rewind: Rewind,
    stop: Stop,
) -> ExactlyOnce:
    producer = worker_producer(settings, group_id)
    init_transactions(producer, bootstrap(settings), stop, INIT_TRANSACTIONS_S)
    interval_ms = settings.infer.transaction_ms
    return ExactlyOnce(
        producer, consumer.group_metadata, in_flight, after_delivery, rewind, stop, interval_ms, topic_ids=topic_ids
    )
