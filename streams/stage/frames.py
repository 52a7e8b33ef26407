"""A frame on its way through the stage, wherever it came from (the source topic or the retry lane)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from infra.failures.outcomes import FrameRecord
from schemas import headers
from schemas.errors import BadFrame
from schemas.fields import check_size
from schemas.records import Frame, Micros

END_OF_9999: Micros = 253_402_300_800_000_000


def held_bytes(record: FrameRecord) -> int:
    return len(record.value or b"") + len(record.key or b"")


@dataclass(slots=True)
class Taken:
    """A record that was read and has no outcome yet. `finish` is called once, when its outcome is on the broker."""

    record: FrameRecord
    finish: Callable[[], None]
    size: int = field(init=False)
    replay_id: str | None = field(init=False)
    traceparent: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.size = held_bytes(self.record)
        self.replay_id = headers.replay_id_of(self.record.headers)
        self.traceparent = headers.traceparent_of(self.record.headers)


def check_fields(frame: Frame, replay_id: str | None) -> None:
    """BadFrame `bad_fields` for ids over 1 KiB and times outside the years 1970 to 9999.

    They go on into batches and labels: the broker takes those up to a size, and their readers make dates of the times.
    """
    for name, text in (("frame_id", frame.frame_id), ("source_id", frame.source_id), ("replay id", replay_id or "")):
        check_size(name, text.encode())
    for name, micros in (("captured_at", frame.captured_at), ("received_at", frame.received_at)):
        if not 0 <= micros < END_OF_9999:
            raise BadFrame("bad_fields", f"{name} is {micros}: no microseconds of the years 1970 to 9999")
