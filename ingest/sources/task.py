"""What an agent asks of a capture process: which source to read, and how.

It lies here and not in `capture`, because the readers take it and know nothing of the process that they run in.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from ingest.sources.connection import DEFAULT, Connection
from ingest.sources.parse import ReaderKind


@dataclass(frozen=True, slots=True)
class CaptureTask:
    """One source to read. It travels as one line of JSON on the stdin of the process: arguments would show up in `ps`.

    `skip_frames`: how many frames of a finite source earlier processes have delivered. `lost_after_ms`: a polled camera
    that gave no picture for this long counts as lost. `max_side`: of pixels before they are encoded; 0: as it is.
    `skip_unchanged_ms`: a still scene sends a picture this often, 0: all of them.
    """

    reader: ReaderKind
    address: str
    fps: float
    loop: bool
    jpeg_quality: int
    open_timeout_ms: int
    read_timeout_ms: int
    max_image_bytes: int
    skip_frames: int = 0
    lost_after_ms: int = 30_000
    connection: Connection = DEFAULT
    max_side: int = 0
    keyframes_only: bool = False
    skip_unchanged_ms: int = 0

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> "CaptureTask":
        fields: dict[str, Any] = json.loads(line)
        converted = {"reader": ReaderKind(fields["reader"]), "connection": Connection(**fields["connection"])}
        return CaptureTask(**{**fields, **converted})
