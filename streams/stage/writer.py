"""What the stage writes: labels of frames seen before, micro-batches, retries and dead letters. Event loop only."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from inference.cache.record import CachedLabel
from inference.labelling.decide import label_for
from infra.failures.outcomes import retry_or_dead
from infra.kafka.sender import DeliveryReport, OnDelivery, OutRecord, Sender, send_async
from infra.kafka.topics import Lane, TopicNames
from infra.process import logs, metrics
from infra.settings import KIB, Settings
from schemas import codec
from schemas.errors import BadFrame
from schemas.headers import REPLAY_ID, TRACEPARENT, Header
from schemas.records import Decision, Frame, ModelRef, Origin
from streams.stage.frames import Taken
from streams.stage.packing import Packed
from streams.stage.reports import Deliveries

log = logs.get(__name__)

STAGE = "stream"
# What a MicroBatch's record holds beside its frames: most of it is the replay id.
RECORD_OVERHEAD_BYTES = 2 * KIB

Finish = Callable[[list[Taken]], None]
OnBatch = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the stage writes to and how. `on_batch` is told partition, offset and size of each batch, in any thread."""

    settings: Settings
    lane: Lane
    sender: Sender
    model: ModelRef
    registry: codec.Registry | None
    batch_partitions: int
    on_batch: OnBatch


class Writer:
    """Each method returns once the producer has the record; `finish` gets the frames once the broker has it."""

    def __init__(self, outputs: Outputs, deliveries: Deliveries, finish: Finish) -> None:
        self._outputs, self._deliveries, self._finish = outputs, deliveries, finish
        self._names = TopicNames.for_lane(outputs.settings.topic_prefix, outputs.lane)
        # A replay has its own labels; what people review are live ones.
        self._with_review = outputs.lane == "live"

    async def label(self, taken: Taken, frame: Frame, cached: CachedLabel) -> None:
        """The label of a frame whose very bytes were labelled before."""
        label = label_for(
            frame,
            taken.record.source,
            cached.predictions,
            cached.quality,
            model=self._outputs.model,
            origin=Origin.CACHE_EXACT,
            labelled_at=time.time_ns() // 1000,
            min_probability=self._outputs.settings.infer.min_probability,
            replay_id=taken.replay_id,
        )
        topics = [self._names.labels]
        if label.decision is Decision.REVIEW and self._with_review:
            topics.append(self._names.review)
        waiting = len(topics)

        def written() -> None:
            nonlocal waiting
            waiting -= 1
            if waiting == 0:
                metrics.LABELS.labels(label.origin.value, label.decision.value).inc()
                self._finish([taken])

        headers = _headers(taken)
        for topic in topics:
            value = codec.encode(label, self._outputs.registry, topic)
            report = self._deliveries.expect(written)
            await send_async(
                self._outputs.sender, OutRecord(topic, label.source_id, value, headers, on_delivery=report)
            )

    async def failure(self, taken: Taken, error: Exception) -> None:
        """A dead letter, or one more try later."""
        if not isinstance(error, BadFrame):
            log.warning("a frame failed that may yet be labelled", source=str(taken.record.source), exc_info=error)
        sender, retry = self._outputs.sender, self._outputs.settings.retry
        report = self._deliveries.expect(lambda: self._finish([taken]))
        record = retry_or_dead(
            self._names,
            retry,
            taken.record,
            STAGE,
            error,
            max_record_bytes=sender.max_record_bytes,
            on_delivery=report,
        )
        await send_async(sender, record)

    async def batch(self, packed: Packed) -> None:
        """A micro-batch, to the partition of its frames' number."""
        batch = packed.batch
        value = codec.encode(batch, self._outputs.registry, self._names.batches)
        limit = self._outputs.settings.topics.max_frame_bytes - RECORD_OVERHEAD_BYTES
        if len(value) > limit and len(packed.frames) == 1:
            detail = f"prepared as {batch.encoding} it is {len(value)} bytes, and {limit} fit into a record"
            await self.failure(packed.frames[0], BadFrame("too_large", detail))
            return

        def written() -> None:
            metrics.BATCH_FRAMES.observe(len(packed.frames))
            self._finish(packed.frames)

        report = self._told(self._deliveries.expect(written), len(value))
        # A frame of a foreign origin (a retried one) may come from a partition that the topic does not have.
        partition = batch.source_partition if batch.source_partition < self._outputs.batch_partitions else -1
        key = str(batch.source_partition)
        record = OutRecord(self._names.batches, key, value, packed.headers, partition, on_delivery=report)
        await send_async(self._outputs.sender, record)

    def _told(self, report: OnDelivery, size: int) -> OnDelivery:
        def on_delivery(found: DeliveryReport) -> None:
            if found.fault is None:
                self._outputs.on_batch(found.partition, found.offset, size)
            report(found)

        return on_delivery


def _headers(taken: Taken) -> list[Header]:
    found = ((TRACEPARENT, taken.traceparent), (REPLAY_ID, taken.replay_id))
    return [(name, value.encode()) for name, value in found if value is not None]
