"""The last step of every producer: number a frame, wrap it in a Frame record, send it, count what became of it.

The record gets the time `captured_at` only where that is credible (see `record_time`).
"""

import threading
import time
from collections import Counter
from collections.abc import Callable

from infra.kafka.errors import FaultKind, KafkaFailure, KafkaFault
from infra.kafka.sender import DeliveryReport, OnDelivery, OutRecord, Sender, send_wait
from infra.kafka.traces import FRAME_ID, KEY, begin, sent_by
from infra.process import logs, metrics
from infra.process.now_and_then import NowAndThen
from infra.process.source_series import OTHER
from infra.process.times import now_us
from infra.settings import KIB
from ingest.publish.frame import OutgoingFrame, ReadyFrame
from ingest.publish.record_time import HOUR_US, Clock, record_time
from schemas.clocks import clock_headers
from schemas.codec import Registry, decode, encode
from schemas.errors import Stalled
from schemas.headers import TRACEPARENT, unsampled_traceparent
from schemas.records import Frame, Micros, SourceKind, micros_to_iso

log = logs.get(__name__)

# Room for what surrounds the image in a Kafka record: the fields of the Frame, key, headers, record overhead.
ENVELOPE_BYTES = 32 * KIB

# How often frames that Kafka refuses for the same reason are logged.
TELL_EVERY_S = 300.0
CLOCK_HINT = "the clock of this machine is too far ahead of Kafka's"

# Called with the source id and the reason: `stale`, `too_large` or `undelivered`. From any thread.
OnDrop = Callable[[str, str], None]
# Called with the id of a frame when it is known what became of it. From any thread.
OnReport = Callable[[str, DeliveryReport], None]
# Called with the fault of a delivery report, or None, before that. True: the frame is sent again, and has not failed.
TakesBack = Callable[[KafkaFault | None], bool]


class Outbox:
    """Publishes frames to one topic. `frame_seq` counts from 0 without a gap in each `stream_epoch` of a source.

    The number is assigned when a frame is handed to Kafka, or to the spool. A number that is missing on the topic
    therefore belongs to a frame that Kafka refused or the spool dropped; such frames are counted as failed, logged, and
    passed to `on_drop`.
    `publish` is for one thread; the counts may be read from any. `retention_h` is that of the topic.
    """

    def __init__(
        self, sender: Sender, topic: str, on_drop: OnDrop, registry: Registry | None = None, *, retention_h: int
    ) -> None:
        self._sender, self._topic, self._on_drop, self._registry = sender, topic, on_drop, registry
        self._retention_us = retention_h * HOUR_US
        self._clock_faults: dict[str, Clock] = {}
        # By source: the epoch of its newest frame, and the number of the next one.
        self._next_seq: dict[str, tuple[int, int]] = {}
        # By source: a hash of its newest picture.
        self._pictures: dict[str, int] = {}
        self._lock = threading.Lock()
        self._accepted: Counter[str] = Counter()
        self._delivered: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._failures = NowAndThen(TELL_EVERY_S)

    def publish(self, outgoing: OutgoingFrame, give_up: Callable[[], bool], on_report: OnReport | None = None) -> bool:
        """Hand one frame to the Kafka client, waiting for room; False when `give_up()` ended the wait.

        Returning True does not mean that the frame was written: `on_report` tells. Raises Stalled when
        the client never sends again.
        """
        numbered_before = self._next_seq.get(outgoing.source_id, (0, 0))
        ready = self.ready(outgoing)
        if ready is None or self.send(ready, give_up, on_report):
            return True
        self._next_seq[outgoing.source_id] = numbered_before
        return False

    def ready(self, outgoing: OutgoingFrame) -> ReadyFrame | None:
        """The frame with its number, for `send` or a spool; None when it is too old by now, which is counted."""
        if self._is_stale(outgoing.source_id, outgoing.expires_at):
            return None
        self._compare(outgoing)
        frame = self._numbered(outgoing)
        self._next_seq[frame.source_id] = (frame.stream_epoch, frame.frame_seq + 1)
        self.add(frame.source_id)
        return ReadyFrame(frame.source_id, frame.frame_id, frame.captured_at, outgoing.expires_at, encode(frame))

    def send(
        self,
        ready: ReadyFrame,
        give_up: Callable[[], bool],
        on_report: OnReport | None = None,
        takes_back: TakesBack | None = None,
    ) -> bool:
        """As `publish`."""
        record_ms, clock_fault = self._record_ms(ready)
        span, traceparent = begin("send", self._topic, None)
        if span is not None:
            span.set({FRAME_ID: ready.frame_id, KEY: ready.source_id})
        traceparent = traceparent or unsampled_traceparent()  # every frame has one, also with traces off
        on_delivery = sent_by(span, self._counting(ready, record_ms, clock_fault, on_report, takes_back))
        record = OutRecord(
            self._topic,
            ready.source_id,
            self._value(ready),
            [(TRACEPARENT, traceparent.encode()), *clock_headers(record_ms if clock_fault else None)],
            timestamp_ms=record_ms,
            on_delivery=on_delivery,
        )
        try:
            return send_wait(self._sender, record, give_up)
        except KafkaFailure as refusal:
            if refusal.fault.is_fatal:
                raise Stalled(f"the Kafka producer cannot go on: {refusal}") from refusal
            on_delivery(DeliveryReport(self._topic, -1, -1, refusal.fault))
            return True

    def has_room(self, size_bytes: int) -> bool:
        """Whether the Kafka client would take a frame of that size now."""
        return self._sender.wait_for_room(size_bytes, 0.0)

    def add(self, source_id: str, frames: int = 1) -> None:
        """So many frames more are on their way to the topic."""
        with self._lock:
            self._accepted[source_id] += frames

    def lose(self, source_id: str, reason: str) -> None:
        """A frame that was on its way will not be written."""
        with self._lock:
            self._failed[source_id] += 1
        self._on_drop(source_id, reason)

    def forget(self) -> None:
        """Let go of what is known of each source, of which a crawl meets millions; the totals of the counts stay.

        For the thread of `publish`. Frames that come later must have another `stream_epoch`: their numbers begin anew.
        """
        self._next_seq.clear()
        self._pictures.clear()
        self._clock_faults.clear()
        with self._lock:
            for counts in (self._accepted, self._delivered, self._failed):
                total = counts.total()
                counts.clear()
                counts[OTHER] = total

    def delivered(self) -> Counter[str]:
        """Frames that the broker acknowledged, by source."""
        with self._lock:
            return self._delivered.copy()

    def failed(self) -> Counter[str]:
        """Frames that Kafka refused or the spool dropped, by source."""
        with self._lock:
            return self._failed.copy()

    def undelivered(self, source_id: str) -> int:
        """Frames of a source that came this far and that the broker has not acknowledged: lost, or on their way."""
        with self._lock:
            return self._accepted[source_id] - self._delivered[source_id]

    def _is_stale(self, source_id: str, expires_at: Micros | None) -> bool:
        if expires_at is None or expires_at >= now_us():
            return False
        self._on_drop(source_id, "stale")
        return True

    def _value(self, ready: ReadyFrame) -> bytes:
        """What a registry is there for is known when the frame is sent: it may come from a spool of before."""
        if self._registry is None:
            return ready.value
        return encode(decode(Frame, ready.value), self._registry, self._topic)

    def _compare(self, outgoing: OutgoingFrame) -> None:
        """A camera that hangs gives the same picture again and again; of uploads nobody asks it."""
        if outgoing.source_kind is SourceKind.UPLOAD:
            return
        picture = hash(outgoing.image)
        if self._pictures.get(outgoing.source_id) != picture:
            self._pictures[outgoing.source_id] = picture
            metrics.SOURCE_LAST_CHANGE.set(outgoing.source_id, outgoing.received_at / 1e6)

    def _numbered(self, outgoing: OutgoingFrame) -> Frame:
        epoch, seq = self._next_seq.get(outgoing.source_id, (0, 0))
        if epoch != outgoing.stream_epoch:
            seq = 0
        return Frame(
            frame_id=f"{outgoing.source_id}/{outgoing.stream_epoch}/{seq}",
            source_id=outgoing.source_id,
            source_kind=outgoing.source_kind,
            stream_epoch=outgoing.stream_epoch,
            frame_seq=seq,
            captured_at=outgoing.captured_at,
            received_at=outgoing.received_at,
            encoding=outgoing.encoding,
            image=outgoing.image,
            uri=outgoing.uri,
            attributes=dict(outgoing.attributes),
        )

    def _record_ms(self, frame: ReadyFrame) -> tuple[int, Clock | None]:
        """The time of the frame's record, and why it is not `captured_at`. A source is logged when that changes."""
        source_id = frame.source_id
        chosen = record_time(frame.captured_at, now_us(), self._retention_us)
        if chosen.fault is None:
            if self._clock_faults.pop(source_id, None) is not None:
                log.info("the capture times of a source are credible again", source_id=source_id)
        elif self._clock_faults.get(source_id) is not chosen.fault:
            self._clock_faults[source_id] = chosen.fault
            log.warning(
                "the clock of a source is off: its records get the time of sending, its frames keep their capture time",
                source_id=source_id,
                clock=chosen.fault.value,
                captured_at=micros_to_iso(frame.captured_at),
            )
        return chosen.at // 1000, chosen.fault

    def _counting(
        self,
        ready: ReadyFrame,
        record_ms: int,
        clock_fault: Clock | None,
        on_report: OnReport | None,
        takes_back: TakesBack | None,
    ) -> OnDelivery:
        """The delivery call-back of one frame. It does not hold the image, which may wait long for its report."""
        source_id, frame_id, value_bytes = ready.source_id, ready.frame_id, len(ready.value)

        def on_delivery(report: DeliveryReport) -> None:
            is_sent_again = takes_back is not None and takes_back(report.fault)
            if report.fault is None:
                with self._lock:
                    self._delivered[source_id] += 1
                metrics.FRAMES_PUBLISHED.labels(metrics.SOURCE_LABEL(source_id)).inc()
                if clock_fault is not None:
                    metrics.CLOCKS_ADJUSTED.labels(metrics.SOURCE_LABEL(source_id), clock_fault.value).inc()
                metrics.SOURCE_LAST_FRAME.set(source_id, record_ms / 1000)
            elif not is_sent_again:
                self._tell_failed(source_id, frame_id, value_bytes, report.fault)
            if on_report is not None and not is_sent_again:
                on_report(frame_id, report)

        return on_delivery

    def _tell_failed(self, source_id: str, frame_id: str, value_bytes: int, fault: KafkaFault) -> None:
        """Count it. A fault that is not of this frame alone is logged now and then, for all sources together."""
        is_of_frame = fault.kind is FaultKind.TOO_LARGE
        self.lose(source_id, "too_large" if is_of_frame else "undelivered")
        why = f"{fault}: {CLOCK_HINT}" if fault.name == "INVALID_TIMESTAMP" else str(fault)
        if is_of_frame:
            log.error("frame not delivered", frame_id=frame_id, bytes=value_bytes, why=why)
            return
        # The client has two errors for a topic that is not there.
        kind = fault.kind.name if fault.kind is FaultKind.GONE else fault.name
        with self._lock:
            frames = self._failures.count(kind, time.monotonic())
        if frames:
            log.error("frames not delivered", frames=frames, last_frame_id=frame_id, topic=self._topic, why=why)
