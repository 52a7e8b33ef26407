"""Kafka headers: the contract's names, how a failure is written into them, and how foreign families are read.

Ours are string valued and replaced at each attempt, never piled up: a frame that was retried three times
carries as many headers as one that failed once.
"""

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.coordinates import Coordinates
from schemas.fields import is_position, is_topic, read_coordinates

Header = tuple[str, bytes]
RawHeaders = Iterable[tuple[str, bytes | str | None]] | None

TRACEPARENT = "traceparent"
REPLAY_ID = "sightline-replay-id"
ERROR_STAGE = "sightline-error-stage"
ERROR_CLASS = "sightline-error-class"
ERROR_MESSAGE = "sightline-error-message"
ORIGIN_TOPIC = "sightline-origin-topic"
ORIGIN_PARTITION = "sightline-origin-partition"
ORIGIN_OFFSET = "sightline-origin-offset"
ORIGIN_TIMESTAMP = "sightline-origin-timestamp"
ATTEMPT = "sightline-attempt"
# On `frames.dead`, of a record without a value: the dead letter there that was redriven, `<partition>/<offset>`.
REDRIVEN = "sightline-redriven"
# One W3C context per item of a MicroBatch, comma-separated, empty where a frame had none.
ITEM_TRACEPARENTS = "sightline-item-traceparents"
# The time of a frame's record, where `captured_at` does not tell it (see `schemas.clocks`); of a MicroBatch one value
# per item, comma-separated, empty where a frame has none.
CLOCK = "sightline-clock"
ITEM_CLOCKS = "sightline-item-clocks"
# On the replay lane: the place of the frame that this one repeats, `<topic>/<partition>/<offset>`. It is kept at each
# attempt, where the origin becomes the place on the replay lane.
REPLAY_OF = "sightline-replay-of"
# Whether the label of a frame may come from the cache and go there (see `schemas.cache_headers`).
CACHE = "sightline-cache"

KEPT = (TRACEPARENT, REPLAY_ID, REPLAY_OF, CLOCK, CACHE)
MAX_MESSAGE_BYTES = 1024

# As many digits as a 64-bit number can have: `int` raises ValueError for thousands of digits.
_DECIMAL = re.compile(rb"-?[0-9]{1,19}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a frame is on `frames.retry` or `frames.dead`, and the coordinates that it was read from first."""

    source: Coordinates
    timestamp_ms: int
    stage: str
    error_class: str
    message: str
    attempt: int


def to_map(headers: RawHeaders) -> dict[str, bytes]:
    """Headers by name, the last of equal names; absent values become empty."""
    if headers is None:
        return {}
    return {name: value.encode() if isinstance(value, str) else value or b"" for name, value in headers}


def failure_headers(existing: RawHeaders, failure: Failure) -> list[Header]:
    """The headers of a retried or dead record: trace, replay id and clock are kept, our others are replaced."""
    kept = [(name, value) for name, value in to_map(existing).items() if name in KEPT]
    message = failure.message.encode(errors="backslashreplace")[:MAX_MESSAGE_BYTES].decode(errors="ignore")
    ours = {
        ERROR_STAGE: failure.stage,
        ERROR_CLASS: failure.error_class,
        ERROR_MESSAGE: message,
        ORIGIN_TOPIC: failure.source.topic,
        ORIGIN_PARTITION: str(failure.source.partition),
        ORIGIN_OFFSET: str(failure.source.offset),
        ORIGIN_TIMESTAMP: str(failure.timestamp_ms),
        ATTEMPT: str(failure.attempt),
    }
    return kept + [(name, value.encode(errors="backslashreplace")) for name, value in ours.items()]


def redriven_headers(failure: Failure, partition: int, offset: int) -> list[Header]:
    """The headers of the record that marks the dead letter at `partition`/`offset` as sent through again."""
    return [*failure_headers(None, failure), (REDRIVEN, f"{partition}/{offset}".encode())]


def redriven_letter(headers: RawHeaders) -> tuple[int, int] | None:
    """The (partition, offset) of the dead letter that this record marks as sent through again; None for any other."""
    partition, _, offset = to_map(headers).get(REDRIVEN, b"").partition(b"/")
    return _place(decimal(partition), decimal(offset))


def attempt_of(headers: RawHeaders) -> int:
    """How often the frame was tried before; 0 for a live one."""
    return max(0, decimal(to_map(headers).get(ATTEMPT, b"")) or 0)


def replay_id_of(headers: RawHeaders) -> str | None:
    value = to_map(headers).get(REPLAY_ID)
    return value.decode(errors="replace") if value else None


def replay_of_headers(place: Coordinates | None) -> list[Header]:
    """The header of a frame of the replay lane; none for None."""
    return [] if place is None else [(REPLAY_OF, str(place).encode())]


def replay_of(headers: RawHeaders) -> Coordinates | None:
    """The place of the frame that this one repeats; None also for a value that is no place."""
    return read_coordinates(to_map(headers).get(REPLAY_OF, b"").decode(errors="replace"))


def traceparent_of(headers: RawHeaders) -> str | None:
    """The W3C trace context; None also for a value of another form, which is not passed on."""
    return _traceparent(to_map(headers).get(TRACEPARENT, b""))


def batch_traceparents(traceparents: list[str | None]) -> list[Header]:
    """The trace headers of a MicroBatch: one `traceparent` when all frames share it, else one per item."""
    if not any(traceparents):
        return []
    first = traceparents[0]
    if first is not None and all(one == first for one in traceparents):
        return [(TRACEPARENT, first.encode())]
    return [(ITEM_TRACEPARENTS, ",".join(one or "" for one in traceparents).encode())]


def traceparents_of(headers: RawHeaders, count: int) -> list[str | None]:
    """The trace context of each of the `count` items of a MicroBatch."""
    found = to_map(headers)
    each = [_traceparent(one) for one in found.get(ITEM_TRACEPARENTS, b"").split(b",")]
    return each if len(each) == count and ITEM_TRACEPARENTS in found else [traceparent_of(headers)] * count


def _traceparent(value: bytes) -> str | None:
    return value.decode() if _TRACEPARENT.fullmatch(value) else None


def unsampled_traceparent() -> str:
    """A fresh W3C trace context (version 00) of a frame whose spans nobody records: https://www.w3.org/TR/trace-context/."""
    # Not from the operating system: two calls of it cost 28 µs a frame, and an id needs no secret.
    return f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-00"


def read_failure(headers: RawHeaders) -> Failure | None:
    """The failure that the headers describe, in our own headers or else those of a foreign family; None without one.

    A frame that failed several times may carry a family more than once: the oldest headers tell its origin, the newest
    its last failure. No bytes make this function raise: a family whose origin cannot exist in Kafka is ignored.
    """
    pairs = list(headers or ())
    first, last = to_map(reversed(pairs)), to_map(pairs)
    for family in _FAMILIES:
        failure = family.read(last, first) if family.newest_first else family.read(first, last)
        if failure is not None:
            return failure
    return None


@dataclass(frozen=True, slots=True)
class _Family:
    """The header names of one family of tools, the best first; without a stage header its name is the stage."""

    name: str
    topic: str
    partition: str
    offset: str
    error_class: tuple[str, ...]
    message: tuple[str, ...]
    timestamp: str = ""
    stage: str = ""
    attempt: str = ""
    binary: bool = False
    newest_first: bool = False

    def read(self, oldest: Mapping[str, bytes], newest: Mapping[str, bytes]) -> Failure | None:
        number = _big_endian if self.binary else decimal
        topic = _text(oldest, self.topic)
        place = _place(number(oldest.get(self.partition, b"")), number(oldest.get(self.offset, b"")))
        if place is None or not is_topic(topic):
            return None
        return Failure(
            source=Coordinates(topic, *place),
            timestamp_ms=number(oldest.get(self.timestamp, b"")) or 0,
            stage=_text(newest, self.stage) or self.name,
            # Some versions of Streams write `class: message`; no name of a class holds ": ".
            error_class=_text(newest, *self.error_class).partition(": ")[0],
            message=_text(newest, *self.message),
            attempt=max(0, number(newest.get(self.attempt, b"")) or 0),
        )


def _text(found: Mapping[str, bytes], *names: str) -> str:
    """The value of the first of `names` that is not empty."""
    return next(filter(None, (found.get(name) for name in names)), b"").decode(errors="replace")


def decimal(value: bytes) -> int | None:
    """The whole number that a header of ours holds; None for anything else."""
    return int(value) if _DECIMAL.fullmatch(value) else None


def _big_endian(value: bytes) -> int | None:
    """Java's int or long, or the one unsigned byte in which old versions of Spring count attempts."""
    return int.from_bytes(value, "big", signed=len(value) > 1) if len(value) in (1, 4, 8) else None


def _place(partition: int | None, offset: int | None) -> tuple[int, int] | None:
    """Partition and offset, where a topic can have them: they are written as int and long of Avro later."""
    if partition is None or offset is None or not is_position(partition, offset):
        return None
    return partition, offset


def _spring(prefix: str, attempt: str = "") -> _Family:
    """The error class is that of the cause, because the other is Spring's wrapper; last that of an unreadable key."""
    return _Family(
        "spring",
        topic=f"{prefix}original-topic",
        partition=f"{prefix}original-partition",
        offset=f"{prefix}original-offset",
        error_class=(f"{prefix}exception-cause-fqcn", f"{prefix}exception-fqcn", f"{prefix}key-exception-fqcn"),
        message=(f"{prefix}exception-message", f"{prefix}key-exception-message"),
        timestamp=f"{prefix}original-timestamp",
        attempt=attempt,
        binary=True,
    )


_FAMILIES = (
    _Family(
        "sightline",
        topic=ORIGIN_TOPIC,
        partition=ORIGIN_PARTITION,
        offset=ORIGIN_OFFSET,
        error_class=(ERROR_CLASS,),
        message=(ERROR_MESSAGE,),
        timestamp=ORIGIN_TIMESTAMP,
        stage=ERROR_STAGE,
        attempt=ATTEMPT,
    ),
    # Kafka Connect's DeadLetterQueueReporter.
    _Family(
        "connect",
        topic="__connect.errors.topic",
        partition="__connect.errors.partition",
        offset="__connect.errors.offset",
        error_class=("__connect.errors.exception.class.name",),
        message=("__connect.errors.exception.message",),
        stage="__connect.errors.stage",
    ),
    # Spring Kafka: @RetryableTopic, then the plain DeadLetterPublishingRecoverer.
    _spring("kafka_", attempt="retry_topic-attempts"),
    _spring("kafka_dlt-"),
    # Kafka Streams, KIP-1034.
    _Family(
        "streams",
        topic="__streams.errors.topic",
        partition="__streams.errors.partition",
        offset="__streams.errors.offset",
        error_class=("__streams.errors.exception",),
        message=("__streams.errors.message",),
    ),
    # Share groups, KIP-1191.
    _Family(
        "share-group",
        topic="__dlq.errors.topic",
        partition="__dlq.errors.partition",
        offset="__dlq.errors.offset",
        error_class=(),
        message=("__dlq.errors.message",),
        attempt="__dlq.errors.delivery.count",
    ),
    # SmallRye (Quarkus), which puts the headers that the record had behind its own.
    _Family(
        "smallrye",
        topic="dead-letter-topic",
        partition="dead-letter-partition",
        offset="dead-letter-offset",
        error_class=("dead-letter-exception-class-name",),
        message=("dead-letter-reason",),
        newest_first=True,
    ),
)
