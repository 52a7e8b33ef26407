"""Records for a frame that failed: a retry (`frames.retry`) or a dead letter (`frames.dead`).

Pure: this module builds records and sends none. Both stages use it, so that their dead letters have the same form.
"""

from dataclasses import dataclass, replace
from typing import Literal

from prometheus_client import Counter

from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import DeliveryReport, OnDelivery, OutRecord
from infra.kafka.topics import TopicNames
from infra.process import metrics
from infra.settings import KIB, RetrySettings
from schemas import headers
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame
from schemas.headers import Failure, RawHeaders

Outcome = Literal["retry", "dead"]

# An upper limit for the bytes of a record beside its key, value and original headers: our headers and Kafka's fields.
RECORD_OVERHEAD_BYTES = 4 * KIB
# The error class of the dead letter that stands for micro-batches which retention removed before a worker read them.
BATCHES_SKIPPED = "batches_skipped"
# That of the dead letter which stands for offsets of the frames topic that were gone before the stream stage read them.
FRAMES_SKIPPED = "frames_skipped"
# That of a record of `frames.retry` for a frame that has not failed: it waits for the decoder, its bytes in its topic.
DEFERRED = "deferred"
# A key or header larger than this is neither an id nor a trace context. It is left out when the value is left out.
MAX_KEPT_BYTES = KIB


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """The record of a frame. `source` and `timestamp_ms` are those of the first record that held the frame."""

    source: Coordinates
    timestamp_ms: int
    key: bytes | str | None
    value: bytes | None
    headers: RawHeaders
    attempt: int = 0

    @classmethod
    def of(cls, record: ConsumedRecord) -> "FrameRecord":
        """The frame of a record on its source topic, such as `frames.raw`."""
        return cls(record.coordinates, record.timestamp_ms, record.key, record.value, record.headers)

    @property
    def captured_ms(self) -> int | None:
        """The time of the frame's record: when it was captured, or sent where that is not credible. None: not known."""
        return self.timestamp_ms if self.timestamp_ms > 0 else None

    @property
    def is_deferred(self) -> bool:
        """Whether this stands for a frame that waits for the decoder, whose bytes are in its source topic."""
        return not self.value and headers.to_map(self.headers).get(headers.ERROR_CLASS) == DEFERRED.encode()

    @property
    def size(self) -> int:
        """An upper limit for the size in bytes of the retry or dead letter of this frame."""
        kept = sum(len(value) for name, value in headers.to_map(self.headers).items() if name in headers.KEPT)
        return _length(self.key) + _length(self.value) + kept + RECORD_OVERHEAD_BYTES

    def without_value(self) -> "FrameRecord":
        """The record without its value, a large key and large headers. The result fits on `frames.dead` in any case."""
        small = [(name, value) for name, value in self.headers or () if _length(value) <= MAX_KEPT_BYTES]
        return replace(self, key=self.key if _length(self.key) <= MAX_KEPT_BYTES else None, value=None, headers=small)


def error_class_of(error: BaseException) -> str:
    """The class by which dead letters are grouped: the reason of a BadFrame, else the name of the exception class."""
    return error.reason if isinstance(error, BadFrame) else type(error).__name__


def outcome_of(retry: RetrySettings, record: FrameRecord, error: BaseException) -> Outcome:
    """A bad frame becomes a dead letter at once. After any other error the frame is retried, once for each delay."""
    if isinstance(error, BadFrame) or record.attempt >= len(retry.delays_ms):
        return "dead"
    return "retry"


def retry_or_dead(
    names: TopicNames,
    retry: RetrySettings,
    record: FrameRecord,
    stage: str,
    error: BaseException,
    *,
    max_record_bytes: int,
    on_delivery: OnDelivery | None = None,
) -> OutRecord:
    """The record for the topic that `outcome_of` chooses. A retry increases the header `sightline-attempt` by one.

    A frame that is larger than our producer may send (another producer's may send more) becomes a dead letter at once.
    The offset of the frame may be committed only after a delivery report without a fault.
    """
    if outcome_of(retry, record, error) == "dead" or record.size > max_record_bytes:
        return dead_letter(names, record, stage, error, max_record_bytes=max_record_bytes, on_delivery=on_delivery)
    failure = _failure(record, stage, error, record.attempt + 1)
    return _out_record(names.retry, record, failure, metrics.RETRIES, on_delivery)


def deferred(names: TopicNames, record: FrameRecord, stage: str, on_delivery: OnDelivery) -> OutRecord:
    """The record for `frames.retry` of a frame that waits for the decoder: no bytes, the attempt as before.

    It lets the committed offset of the source topic move past the frame, which is read again from there.
    """
    why = "waits until the decoder has room; the picture is in its own topic"
    failure = Failure(record.source, record.timestamp_ms, stage, DEFERRED, why, record.attempt)
    return _out_record(names.retry, record.without_value(), failure, metrics.RETRIES, on_delivery)


def dead_letter(
    names: TopicNames,
    record: FrameRecord,
    stage: str,
    error: BaseException,
    *,
    max_record_bytes: int,
    on_delivery: OnDelivery | None = None,
) -> OutRecord:
    """The record for `frames.dead`: the original key and value, with the reason in the headers.

    A value that is too large is left out; the headers then contain the coordinates of the frame and the size.
    """
    failure = _failure(record, stage, error, record.attempt)
    if record.size > max_record_bytes:
        left_out = f"value of {_length(record.value)} bytes left out, a record holds {max_record_bytes}"
        failure = replace(failure, message=f"{left_out}: {failure.message}")
        record = record.without_value()
    return _out_record(names.dead, record, failure, metrics.DEAD_LETTERS, on_delivery)


def _failure(record: FrameRecord, stage: str, error: BaseException, attempt: int) -> Failure:
    detail = error.detail or error.reason if isinstance(error, BadFrame) else str(error)
    return Failure(record.source, record.timestamp_ms, stage, error_class_of(error), detail, attempt)


def _out_record(
    topic: str, record: FrameRecord, failure: Failure, counter: Counter, on_delivery: OnDelivery | None
) -> OutRecord:
    def delivered(report: DeliveryReport) -> None:
        if report.fault is None:
            counter.labels(failure.stage, failure.error_class).inc()
        if on_delivery is not None:
            on_delivery(report)

    # The record's time is that of the failure: the delay of a retry counts from it, and `dead list --from` uses it.
    return OutRecord(
        topic, record.key, record.value, headers.failure_headers(record.headers, failure), on_delivery=delivered
    )


def _length(data: bytes | str | None) -> int:
    return len(data.encode() if isinstance(data, str) else data or b"")
