"""From the buffer to `frames.raw`: numbers, envelope, and what came of each frame."""

import threading
from collections import Counter
from collections.abc import Callable

from infra.kafka.errors import FaultKind, KafkaFailure, KafkaFault
from infra.kafka.sender import DeliveryReport, OnDelivery, OutRecord, Sender, send_wait
from infra.process import logs, metrics
from infra.process.times import now_us
from infra.settings import KIB
from ingest.camera.feed import Captured, Feed
from schemas.codec import Registry, encode
from schemas.errors import Stalled
from schemas.headers import TRACEPARENT, new_traceparent
from schemas.records import Frame, SourceKind

log = logs.get(__name__)

# What a Frame, its key, its headers and Kafka's own record need around the image.
ENVELOPE_BYTES = 32 * KIB


class Outbox:
    """Publishes captured frames; `frame_seq` counts from 0 without a gap in each `stream_epoch`.

    A number that is missing on the topic belongs to a frame that Kafka refused; it is counted in `failed` and logged.
    """

    def __init__(self, sender: Sender, topic: str, max_frame_age_ms: int = 0, registry: Registry | None = None) -> None:
        self._sender, self._topic, self._registry = sender, topic, registry
        self._max_frame_age_us = max_frame_age_ms * 1000
        self._next: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self.sent: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._abandoned: Counter[str] = Counter()

    def publish(self, captured: Captured, give_up: Callable[[], bool]) -> bool:
        """Hand one frame to Kafka's client, waiting for room; False if `give_up` said so first. Raises Stalled."""
        spec = captured.feed.spec
        if spec.source.live and 0 < self._max_frame_age_us < now_us() - captured.captured_at:
            captured.feed.drop("stale")
            return True
        frame = self._frame(captured)
        value = encode(frame, self._registry, self._topic)
        record = OutRecord(
            self._topic,
            spec.source_id,
            value,
            [(TRACEPARENT, new_traceparent().encode())],
            timestamp_ms=captured.captured_at // 1000,
            on_delivery=self._report(captured, frame),
        )
        try:
            if not send_wait(self._sender, record, give_up):
                self._abandoned[spec.source_id] += 1
                return False
        except KafkaFailure as refusal:
            if refusal.fault.is_fatal:
                raise Stalled(f"the Kafka producer cannot go on: {refusal}") from refusal
            assert record.on_delivery is not None
            record.on_delivery(DeliveryReport(self._topic, -1, -1, refusal.fault))
        self._next[spec.source_id] = (frame.stream_epoch, frame.frame_seq + 1)
        self.sent[spec.source_id] += 1
        return True

    def undelivered(self, source_id: str) -> int:
        """Frames that came this far and of which nobody knows that they are on the topic."""
        return self._abandoned[source_id] + self.sent[source_id] - self.delivered[source_id]

    def _frame(self, captured: Captured) -> Frame:
        spec = captured.feed.spec
        epoch, seq = self._next.get(spec.source_id, (0, 0))
        if epoch != captured.stream_epoch:
            seq = 0
        return Frame(
            frame_id=f"{spec.source_id}/{captured.stream_epoch}/{seq}",
            source_id=spec.source_id,
            source_kind=SourceKind.CAMERA,
            stream_epoch=captured.stream_epoch,
            frame_seq=seq,
            captured_at=captured.captured_at,
            received_at=captured.received_at,
            encoding=captured.encoding,
            image=captured.image,
            uri=spec.source.shown,
            attributes={"file": captured.name} if captured.name else {},
        )

    def _report(self, captured: Captured, frame: Frame) -> OnDelivery:
        source_id, captured_s, size, feed = frame.source_id, frame.captured_at / 1e6, len(frame.image), captured.feed
        frame_id = frame.frame_id

        def delivered(report: DeliveryReport) -> None:
            with self._lock:
                if report.fault is None:
                    self.delivered[source_id] += 1
                else:
                    self.failed[source_id] += 1
            if report.fault is None:
                metrics.FRAMES_PUBLISHED.labels(source_id).inc()
                metrics.CAMERA_LAST_FRAME.labels(source_id).set(captured_s)
            else:
                self._log_failure(feed, frame_id, size, report.fault)

        return delivered

    def _log_failure(self, feed: Feed, frame_id: str, size: int, fault: KafkaFault) -> None:
        too_large = fault.kind is FaultKind.TOO_LARGE
        feed.drop("too_large" if too_large else "undelivered")
        log.error("frame not delivered", frame_id=frame_id, bytes=size, why=str(fault))
