"""What becomes of a frame that got no label: once more later (`frames.retry`), or a dead letter (`frames.dead`).

Both stages use this, so that a dead letter looks the same whoever wrote it.
"""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

from prometheus_client import Counter

from infra.kafka.clients import Message, OnDelivery
from infra.kafka.topics import TopicNames
from infra.process import metrics
from infra.settings import KIB, RetrySettings
from schemas import headers
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame
from schemas.headers import Failure, Header, RawHeaders

Outcome = Literal["retry", "dead"]

# More than what a record has beside its key, its value and the headers it came with: ours, and Kafka's own fields.
RECORD_OVERHEAD_BYTES = 4 * KIB
# A key or header of more is no id and no trace context: it goes where the value goes.
MAX_KEPT_BYTES = KIB


class Sender(Protocol):
    """What is needed of `infra.kafka.publisher.Publisher`."""

    @property
    def max_record_bytes(self) -> int: ...

    def send(
        self,
        topic: str,
        key: bytes | str | None,
        value: bytes | None,
        *,
        headers: list[Header] | None = None,
        partition: int = -1,
        timestamp_ms: int = 0,
        on_delivery: OnDelivery | None = None,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """A frame's record as it was read; `source` and `timestamp_ms` are those of the first record that held it."""

    source: Coordinates
    timestamp_ms: int
    key: bytes | str | None
    value: bytes | None
    headers: RawHeaders
    attempt: int = 0

    @property
    def size(self) -> int:
        """Of the record that tells its outcome, at most."""
        kept = sum(len(value) for name, value in headers.to_map(self.headers).items() if name in headers.KEPT)
        return _length(self.key) + _length(self.value) + kept + RECORD_OVERHEAD_BYTES

    def without_value(self) -> "FrameRecord":
        """What always fits: where it came from, under its key."""
        small = [(name, value) for name, value in self.headers or () if _length(value) <= MAX_KEPT_BYTES]
        return replace(self, key=self.key if _length(self.key) <= MAX_KEPT_BYTES else None, value=None, headers=small)


def error_class_of(error: BaseException) -> str:
    """The word that dead letters are grouped by: the reason of a BadFrame, else the class of the error."""
    return error.reason if isinstance(error, BadFrame) else type(error).__name__


def outcome_of(retry: RetrySettings, record: FrameRecord, error: BaseException) -> Outcome:
    """A bad frame is dead at once; anything else may pass, so it is tried again until the last tier is used up."""
    if isinstance(error, BadFrame) or record.attempt >= len(retry.delays_ms):
        return "dead"
    return "retry"


def retry_or_dead(
    sender: Sender,
    names: TopicNames,
    retry: RetrySettings,
    record: FrameRecord,
    stage: str,
    error: BaseException,
    on_delivery: OnDelivery | None = None,
) -> Outcome:
    """Send the record to where `outcome_of` says, `sightline-attempt` one up on the retry lane.

    One that is too large for our topics (others may hold more, or ours held more before) is dead at once. The frame may
    be acknowledged only after `on_delivery` without an error. Raises Busy when the sender is full.
    """
    if outcome_of(retry, record, error) == "dead" or record.size > sender.max_record_bytes:
        dead_letter(sender, names, record, stage, error, on_delivery)
        return "dead"
    _send(sender, names.retry, record, _failure(record, stage, error, record.attempt + 1), metrics.RETRIES, on_delivery)
    return "retry"


def dead_letter(
    sender: Sender,
    names: TopicNames,
    record: FrameRecord,
    stage: str,
    error: BaseException,
    on_delivery: OnDelivery | None = None,
) -> None:
    """Send the record's own bytes under its own key to `frames.dead`, with the reason in its headers.

    Bytes that no record of ours can hold stay where they are: the headers tell the place and how many they are.
    """
    failure = _failure(record, stage, error, record.attempt)
    if record.size > sender.max_record_bytes:
        left_out = f"value of {_length(record.value)} bytes left out, a record holds {sender.max_record_bytes}"
        failure = replace(failure, message=f"{left_out}: {failure.message}")
        record = record.without_value()
    _send(sender, names.dead, record, failure, metrics.DEAD_LETTERS, on_delivery)


def _failure(record: FrameRecord, stage: str, error: BaseException, attempt: int) -> Failure:
    detail = error.detail or error.reason if isinstance(error, BadFrame) else str(error)
    return Failure(record.source, record.timestamp_ms, stage, error_class_of(error), detail, attempt)


def _send(
    sender: Sender,
    topic: str,
    record: FrameRecord,
    failure: Failure,
    counter: Counter,
    on_delivery: OnDelivery | None,
) -> None:
    def delivered(delivery_error: object, message: Message) -> None:
        if delivery_error is None:
            counter.labels(failure.stage, failure.error_class).inc()
        if on_delivery is not None:
            on_delivery(delivery_error, message)  # type: ignore[arg-type]

    # The record's time is that of the failure: the retry lane counts its delay from it, `dead list --from` goes by it.
    sender.send(
        topic,
        record.key,
        record.value,
        headers=headers.failure_headers(record.headers, failure),
        on_delivery=delivered,
    )


def _length(data: bytes | str | None) -> int:
    return len(data.encode() if isinstance(data, str) else data or b"")
