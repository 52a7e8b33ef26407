"""A frame on its way through the stage: pending, then parsed, then prepared or failed."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from inference.image import Prepared
from infra.failures.outcomes import FrameRecord
from schemas import headers
from schemas.cache_headers import may_be_cached
from schemas.clocks import clock_of
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame
from schemas.fields import check_size
from schemas.records import Frame, Micros
from streams.stage.write_order import Place

if TYPE_CHECKING:
    from infra.process.spans import Span

END_OF_9999: Micros = 253_402_300_800_000_000


def held_bytes(record: FrameRecord) -> int:
    return len(record.value or b"") + len(record.key or b"")


@dataclass(slots=True)
class PendingFrame:
    """A record that was read and has no outcome yet, from the source topic or from the retry topic.

    `finish` is called once, on the event loop, when the broker has acknowledged the outcome. `is_current` tells whether
    the outcome is still wanted: not when another process has the partition by now. `gone`: this is no frame, it stands
    for frames that are not in their topic any more, and says why. `is_aside`: its source is hard. `span`: of a frame
    that is sampled, while traces are on.
    """

    record: FrameRecord
    finish: Callable[[], None]
    is_current: Callable[[], bool] = lambda: True
    gone: BadFrame | None = None
    is_aside: bool = field(default=False, init=False)
    size: int = field(init=False)
    replay_id: str | None = field(init=False)
    replay_of: Coordinates | None = field(init=False)
    may_be_cached: bool = field(init=False)
    traceparent: str | None = field(init=False)
    span: "Span | None" = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.size = held_bytes(self.record)
        self.replay_id = headers.replay_id_of(self.record.headers)
        self.replay_of = headers.replay_of(self.record.headers)
        self.may_be_cached = may_be_cached(self.record.headers)
        self.traceparent = headers.traceparent_of(self.record.headers)

    def drop_bytes(self) -> None:
        """Keep no more than it takes to read the record again, or to write its dead letter when it is gone by then."""
        small = self.record.without_value()
        kept = [(name, value) for name, value in headers.to_map(small.headers).items() if name in headers.KEPT]
        self.record = replace(small, headers=kept)


@dataclass(frozen=True, slots=True)
class ParsedFrame:
    """A pending frame whose value is a valid Frame, with its place in the order of writing."""

    pending: PendingFrame
    frame: Frame
    image_hash: bytes
    place: "Place[PreparedFrame]"

    @property
    def source(self) -> Hashable:
        return self.place.source

    @property
    def clock_ms(self) -> int | None:
        """The time of the frame's record, where `captured_at` does not tell it."""
        return clock_of(self.frame.captured_at, self.pending.record.timestamp_ms)


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """A parsed frame whose image is decoded into model input: it can be packed into a micro-batch."""

    pending: PendingFrame
    frame: Frame
    image_hash: bytes
    image: Prepared

    @property
    def clock_ms(self) -> int | None:
        """As in ParsedFrame."""
        return clock_of(self.frame.captured_at, self.pending.record.timestamp_ms)


@dataclass(frozen=True, slots=True)
class FailedFrame:
    """A pending frame that gets no label now, with the reason."""

    pending: PendingFrame
    error: Exception


def check_fields(frame: Frame, replay_id: str | None) -> None:
    """Raises BadFrame `bad_fields` for an id over 1 KiB and for a time outside the years 1970 to 9999.

    Ids and times are copied into batches and labels. The broker accepts those only up to a size, and their consumers
    convert the times to dates.
    """
    for name, text in (("frame_id", frame.frame_id), ("source_id", frame.source_id), ("replay id", replay_id or "")):
        check_size(name, text.encode())
    for name, micros in (("captured_at", frame.captured_at), ("received_at", frame.received_at)):
        if not 0 <= micros < END_OF_9999:
            raise BadFrame("bad_fields", f"{name} is {micros}: no microseconds of the years 1970 to 9999")
