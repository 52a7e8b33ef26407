"""What the stage writes: labels from the cache, micro-batches, retries and dead letters. For the event loop only."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from inference.cache.record import CachedLabel
from inference.labelling.decide import label_for
from inference.labelling.decision_metrics import DecisionMetrics
from inference.models import InputSpec
from infra.failures.outcomes import deferred, error_class_of, retry_or_dead
from infra.kafka.sender import DeliveryReport, OnDelivery, OutRecord, Sender, send_async
from infra.kafka.topics import Lane, TopicNames
from infra.kafka.traces import batch_around, sent_by, sent_within
from infra.process import logs, metrics
from infra.process.end_to_end import observe_end_to_end
from infra.process.times import now_us
from infra.settings import KIB, Settings
from schemas import codec
from schemas.clocks import clock_headers
from schemas.errors import BadFrame, ConfigError
from schemas.headers import REPLAY_ID, TRACEPARENT, Header, preparation_headers
from schemas.records import Decision, ModelRef, Origin, PixelEncoding
from streams.stage.frames import FailedFrame, ParsedFrame, PendingFrame
from streams.stage.packing import ITEM_OVERHEAD_BYTES, PackedBatch
from streams.stage.reports import Deliveries

log = logs.get(__name__)

STAGE = "stream"
# What the record of a MicroBatch holds beside its frames; most of it is the replay id.
RECORD_OVERHEAD_BYTES = 2 * KIB

Finish = Callable[[list[PendingFrame]], None]
OnBatch = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the stage writes, and how.

    `preparation` is how it makes pixels; without it, workers cache no label of its micro-batches.
    `on_batch` is called with partition, offset and size of each batch that the broker has, in a thread of the producer.
    """

    settings: Settings
    lane: Lane
    sender: Sender
    model: ModelRef
    registry: codec.Registry | None
    batch_partitions: int
    on_batch: OnBatch
    preparation: str | None = None


class Writer:
    """Each method returns when the producer has the record; `finish` gets the frames when the broker has it."""

    def __init__(self, outputs: Outputs, deliveries: Deliveries, finish: Finish) -> None:
        self._outputs, self._deliveries, self._finish = outputs, deliveries, finish
        self._names = TopicNames.for_lane(outputs.settings.topic_prefix, outputs.lane)
        self._decisions = DecisionMetrics(outputs.settings.confidence)
        # Only live labels are reviewed by people; a replay writes to its own labels topic alone.
        self._with_review = outputs.lane == "live"

    async def label(self, parsed: ParsedFrame, cached: CachedLabel) -> None:
        """The label of a frame whose image bytes were labelled before."""
        pending = parsed.pending
        label = label_for(
            parsed.frame,
            pending.record.source,
            cached.predictions,
            cached.quality,
            model=self._outputs.model,
            origin=Origin.CACHE_EXACT,
            labelled_at=time.time_ns() // 1000,
            min_probability=self._outputs.settings.infer.min_probability,
            replay_id=pending.replay_id,
            replay_of=pending.replay_of,
        )
        topics, traceparent = [self._names.labels], pending.traceparent
        if label.decision is Decision.REVIEW and self._with_review:
            topics.append(self._names.review)
        unwritten = len(topics)

        def written() -> None:
            nonlocal unwritten
            unwritten -= 1
            if unwritten == 0:
                metrics.LABELS.labels(label.origin.value, label.decision.value).inc()
                observe_end_to_end(label, traceparent, now_us())
                self._decisions.observe(label, time.monotonic())
                self._finish([pending])

        headers = [*_headers(pending), *clock_headers(parsed.clock_ms)]
        for topic in topics:
            value = codec.encode(label, self._outputs.registry, topic)
            report = self._deliveries.expect(written)
            record = OutRecord(topic, label.source_id, value, headers, on_delivery=report)
            await send_async(self._outputs.sender, sent_within(pending.span, record))

    async def failure(self, failed: FailedFrame) -> None:
        """A dead letter, or a record for the retry topic when the error may pass."""
        pending, error = failed.pending, failed.error
        if not isinstance(error, BadFrame):
            log.warning("a frame failed that may yet be labelled", source=str(pending.record.source), exc_info=error)
        sender, retry = self._outputs.sender, self._outputs.settings.retry
        report = self._deliveries.expect(lambda: self._finish([pending]))
        record = retry_or_dead(
            self._names,
            retry,
            pending.record,
            STAGE,
            error,
            max_record_bytes=sender.max_record_bytes,
            on_delivery=report,
        )
        if pending.span is not None:
            pending.span.fail(error_class_of(error), str(error))
        await send_async(sender, sent_within(pending.span, record))

    async def defer(self, pending: PendingFrame) -> None:
        """A record for the retry topic without the frame's bytes, which are read again from its own topic."""
        report = self._deliveries.expect(lambda: self._finish([pending]))
        record = deferred(self._names, pending.record, STAGE, report)
        await send_async(self._outputs.sender, sent_within(pending.span, record))

    async def batch(self, packed: PackedBatch) -> None:
        """A micro-batch, for the partition with the number of its frames' source partition."""
        batch = packed.batch
        value = codec.encode(batch, self._outputs.registry, self._names.batches)
        limit = self._outputs.settings.topics.max_frame_bytes - RECORD_OVERHEAD_BYTES
        if len(value) > limit and len(packed.frames) == 1:
            detail = f"prepared as {batch.encoding} it is {len(value)} bytes, and {limit} fit into a record"
            await self.failure(FailedFrame(packed.frames[0], BadFrame("too_large", detail)))
            return

        def written() -> None:
            metrics.BATCH_FRAMES.observe(len(packed.frames))
            self._finish(packed.frames)

        members = [pending.span for pending in packed.frames if pending.span is not None]
        span = batch_around("send", self._names.batches, members, len(packed.frames))
        report = sent_by(span, self._reported(self._deliveries.expect(written), len(value)))
        # The frames may come from another topic (by retry), whose partition number the batches topic may not have.
        partition = batch.source_partition if batch.source_partition < self._outputs.batch_partitions else -1
        key = str(batch.source_partition)
        headers = [*packed.headers, *preparation_headers(self._outputs.preparation)]
        record = OutRecord(self._names.batches, key, value, headers, partition, on_delivery=report)
        await send_async(self._outputs.sender, record)

    def _reported(self, report: OnDelivery, size: int) -> OnDelivery:
        """The callback that also reports a written batch to `on_batch`."""

        def on_delivery(found: DeliveryReport) -> None:
            if found.fault is None:
                self._outputs.on_batch(found.partition, found.offset, size)
            report(found)

        return on_delivery


def require_room(settings: Settings, spec: InputSpec) -> None:
    """Raises ConfigError when no image that is prepared for a model of this input would fit into a record."""
    encoding = PixelEncoding(settings.stream.encoding)
    if encoding is PixelEncoding.JPEG:
        return
    needed = spec.row_bytes(encoding) + ITEM_OVERHEAD_BYTES + RECORD_OVERHEAD_BYTES
    if needed > settings.topics.max_frame_bytes:
        raise ConfigError(
            f"infer.model takes images of {spec.width}x{spec.height} pixels, each {needed} bytes of a record in the "
            f"encoding {encoding}, and topics.max_frame_bytes is {settings.topics.max_frame_bytes}: "
            'raise it, or set stream.encoding = "JPEG"'
        )


def _headers(pending: PendingFrame) -> list[Header]:
    found = ((TRACEPARENT, pending.traceparent), (REPLAY_ID, pending.replay_id))
    return [(name, value.encode()) for name, value in found if value is not None]
