"""Reads `frames.dead`: the dead letters that a filter selects, and the marks of dead letters that were redriven."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Period
from schemas import codec
from schemas.codec import Registry
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame, ConfigError
from schemas.headers import Failure, RawHeaders, read_failure, redriven_letter
from schemas.records import Frame, Micros

# (partition, offset) on `frames.dead`.
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record on `frames.dead`. `failure` is None when no known header says why the frame failed."""

    place: Place
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: RawHeaders
    failure: Failure | None

    @property
    def source_id(self) -> str:
        """The key of the record."""
        return (self.key or b"").decode(errors="replace")

    @property
    def stage(self) -> str:
        return self.failure.stage if self.failure else ""

    @property
    def error_class(self) -> str:
        return self.failure.error_class if self.failure else ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A record which says that the dead letter at `letter`, of the frame at `origin`, was redriven at `timestamp_ms`.

    The mark itself is at `place`, in the partition of its dead letter.
    """

    letter: Place
    origin: Coordinates | None
    place: Place
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class DeadFilter:
    """A dead letter passes when it meets every criterion that is given. Stage, error and source are globs."""

    stage: str | None = None
    error: str | None = None
    source_id: str | None = None
    places: frozenset[Place] | None = None

    def passes(self, letter: DeadLetter) -> bool:
        return (
            (self.places is None or letter.place in self.places)
            and _matches(letter.stage, self.stage)
            and _matches(letter.error_class, self.error)
            and _matches(letter.source_id, self.source_id)
        )


def read_dead_letters(
    reader: Reader,
    topic: str,
    wanted: DeadFilter,
    from_us: Micros | None = None,
    to_us: Micros | None = None,
    *,
    all_marks: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[DeadLetter | Mark]:
    """The dead letters that `wanted` selects in the time range, and every mark after the start of the range.

    The time of a dead letter is when its frame was declared dead. A mark comes after the dead letter that it marks.
    `all_marks`: also return the marks before the range. Reading ends early when `stop()` returns true.
    """
    period = Period(from_us, to_us)
    spans = reader.spans(topic, None if all_marks else from_us)
    if wanted.places is not None:
        partitions = {partition for partition, _ in wanted.places}
        spans = [span for span in spans if span.partition in partitions]
    for record in reader.read(spans, stop):
        entry = parse(record)
        if isinstance(entry, Mark) or (period.holds(record.timestamp_ms) and wanted.passes(entry)):
            yield entry


def parse(record: ConsumedRecord) -> DeadLetter | Mark:
    failure, marked = read_failure(record.headers), redriven_letter(record.headers)
    place = record.partition, record.offset
    if marked is not None:
        return Mark(marked, failure.source if failure else None, place, record.timestamp_ms)
    return DeadLetter(place, record.timestamp_ms, record.key, record.value, record.headers, failure)


def frame_id_of(record: ConsumedRecord, registry: Registry | None) -> str:
    """The id of the frame that is the record's value; empty for anything else."""
    try:
        return codec.decode(Frame, record.value, registry).frame_id
    except BadFrame:
        return ""


def parse_place(text: str, topic: str) -> Place:
    """Parse `3/17`, `frames.dead/3/17` or `frames.dead-3-17`. Raises ConfigError."""
    bare = text
    for separator in "/-":
        bare = bare.removeprefix(f"{topic}{separator}")
    for separator in "/-":
        partition, found, offset = bare.partition(separator)
        if found and all(re.fullmatch(r"[0-9]{1,19}", part) for part in (partition, offset)):
            return int(partition), int(offset)
    raise ConfigError(
        f"{text!r} does not name a dead letter: write PARTITION/OFFSET, as `sightline dead list` shows it"
    )


def _matches(text: str, glob: str | None) -> bool:
    return glob is None or fnmatchcase(text, glob)
