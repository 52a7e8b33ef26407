"""The outcome of a frame that got no label: another attempt (`frames.retry`) or a dead letter (`frames.dead`).

Pure: it makes the records and sends none. Both stages use this, so that a dead letter looks the same whoever wrote it.
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

# An upper limit for what we add to a record beside its key, value and own headers: our headers and Kafka's fields.
RECORD_OVERHEAD_BYTES = 4 * KIB
# A larger key or header is neither an id nor a trace context: it is left out together with the value.
MAX_KEPT_BYTES = KIB


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """A frame's record as it was read; `source` and `timestamp_ms` are those of the first record that held it."""

    source: Coordinates
    timestamp_ms: int
    key: bytes | str | None
    value: bytes | None
    headers: RawHeaders
    attempt: int = 0

    @classmethod
    def of(cls, record: ConsumedRecord) -> "FrameRecord":
        """The frame of a record that was read from its source topic."""
        return cls(record.coordinates, record.timestamp_ms, record.key, record.value, record.headers)

    @property
    def size(self) -> int:
        """An upper limit for the size of the retry or dead letter of this frame."""
        kept = sum(len(value) for name, value in headers.to_map(self.headers).items() if name in headers.KEPT)
        return _length(self.key) + _length(self.value) + kept + RECORD_OVERHEAD_BYTES

    def without_value(self) -> "FrameRecord":
        """The record without its value and large headers, which always fits: the key, and where the frame came from."""
        small = [(name, value) for name, value in self.headers or () if _length(value) <= MAX_KEPT_BYTES]
        return replace(self, key=self.key if _length(self.key) <= MAX_KEPT_BYTES else None, value=None, headers=small)


def error_class_of(error: BaseException) -> str:
    """The class by which dead letters are grouped: the reason of a BadFrame, else the name of the exception class."""
    return error.reason if isinstance(error, BadFrame) else type(error).__name__


def outcome_of(retry: RetrySettings, record: FrameRecord, error: BaseException) -> Outcome:
    """A bad frame is dead at once; with any other error the frame is tried again until the last delay is used."""
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
    """The record to send to where `outcome_of` says, with `sightline-attempt` one up on the retry lane.

    A frame that no record of ours can hold (other producers' topics may) is a dead letter at once. The frame's offset
    may move only after a report without a fault.
    """
    if outcome_of(retry, record, error) == "dead" or record.size > max_record_bytes:
        return dead_letter(names, record, stage, error, max_record_bytes=max_record_bytes, on_delivery=on_delivery)
    failure = _failure(record, stage, error, record.attempt + 1)
    return _out_record(names.retry, record, failure, metrics.RETRIES, on_delivery)


def dead_letter(
    names: TopicNames,
    record: FrameRecord,
    stage: str,
    error: BaseException,
    *,
    max_record_bytes: int,
    on_delivery: OnDelivery | None = None,
) -> OutRecord:
    """The dead letter: the record's own bytes under its own key for `frames.dead`, with the reason in its headers.

    A value that no record of ours can hold is left out: the headers tell its place and its size.
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
