"""What becomes of a frame that got no label: once more later (`frames.retry`), or a dead letter (`frames.dead`).

Both stages use this, so that a dead letter looks the same whoever wrote it.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from infra import metrics
from infra.kafka import Message, OnDelivery
from infra.settings import RetrySettings
from infra.topics import TopicNames
from schemas import headers
from schemas.errors import BadFrame
from schemas.headers import Failure, Header, RawHeaders
from schemas.records import SourceRef

Outcome = Literal["retry", "dead"]


class Sender(Protocol):
    """What is needed of `infra.kafka.Publisher`."""

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

    source: SourceRef
    timestamp_ms: int
    key: bytes | str | None
    value: bytes | None
    headers: RawHeaders
    attempt: int = 0


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

    The frame may be acknowledged only after `on_delivery` without an error. Raises Busy when the sender is full.
    """
    outcome = outcome_of(retry, record, error)
    if outcome == "dead":
        dead_letter(sender, names, record, stage, error, on_delivery)
    else:
        _send(sender, names.retry, record, stage, error, record.attempt + 1, "retry", on_delivery)
    return outcome


def dead_letter(
    sender: Sender,
    names: TopicNames,
    record: FrameRecord,
    stage: str,
    error: BaseException,
    on_delivery: OnDelivery | None = None,
) -> None:
    """Send the record's own bytes under its own key to `frames.dead`, with the reason in its headers."""
    _send(sender, names.dead, record, stage, error, record.attempt, "dead", on_delivery)


def _send(
    sender: Sender,
    topic: str,
    record: FrameRecord,
    stage: str,
    error: BaseException,
    attempt: int,
    outcome: Outcome,
    on_delivery: OnDelivery | None,
) -> None:
    error_class = error_class_of(error)
    detail = error.detail or error.reason if isinstance(error, BadFrame) else str(error)
    failure = Failure(record.source, record.timestamp_ms, stage, error_class, detail, attempt)
    counter = metrics.DEAD_LETTERS if outcome == "dead" else metrics.RETRIES

    def delivered(delivery_error: object, message: Message) -> None:
        if delivery_error is None:
            counter.labels(stage, error_class).inc()
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
