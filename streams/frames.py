"""A frame on its way through the stage, wherever it came from (the source topic or the retry lane)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from infra.outcomes import FrameRecord
from schemas import headers


@dataclass(slots=True)
class Taken:
    """A record that was read and has no outcome yet. `finish` is called once, when its outcome is on the broker."""

    record: FrameRecord
    finish: Callable[[], None]
    size: int = field(init=False)
    replay_id: str | None = field(init=False)
    traceparent: str | None = field(init=False)

    def __post_init__(self) -> None:
        found = headers.to_map(self.record.headers)
        self.size = len(self.record.value or b"")
        self.replay_id = _text(found.get(headers.REPLAY_ID))
        self.traceparent = _text(found.get(headers.TRACEPARENT))


def _text(value: bytes | None) -> str | None:
    return value.decode(errors="replace") if value else None
