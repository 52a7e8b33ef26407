"""One frame as a record of a segment. Pure.

    marker 8 | header crc 4 | body crc 4 | body length 4 | number 8 | stored_at 8 | captured_at 8 | expires_at 8 |
    length of frame_id 2 | frame_id | body

Integers are big endian, crcs CRC-32, the header crc covers all that is between it and the body. The body is the Frame
in single-object encoding. The marker is drawn for each segment and is in the segment's name: a reader finds the next
record behind a damaged one by it, and no picture can contain it on purpose.
"""

import struct
import zlib
from dataclasses import dataclass

from ingest.publish.frame import ReadyFrame
from schemas.records import Micros

MARKER_BYTES = 8
_CRC = struct.Struct(">I")
_FIXED = struct.Struct(">IIQqqqH")
FIXED_BYTES = MARKER_BYTES + _CRC.size + _FIXED.size
# source_id, epoch and number of a frame; a source_id may have 1 KiB.
MAX_FRAME_ID_BYTES = 4_096
MAX_HEADER_BYTES = FIXED_BYTES + MAX_FRAME_ID_BYTES
# Stands for None: no time of a frame is so early.
_NEVER = -(1 << 63)


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """What is known of a record without its body. `number` grows by 1 from record to record of a spool."""

    number: int
    frame_id: str
    stored_at: Micros
    captured_at: Micros
    expires_at: Micros | None
    body_crc: int
    header_bytes: int
    body_bytes: int

    @property
    def size_bytes(self) -> int:
        return self.header_bytes + self.body_bytes

    @property
    def source_id(self) -> str:
        return self.frame_id.rsplit("/", 2)[0]


def pack(marker: bytes, number: int, frame: ReadyFrame, stored_at: Micros) -> tuple[bytes, bytes]:
    """Header and body of the record of a frame."""
    name = frame.frame_id.encode()
    expires_at = _NEVER if frame.expires_at is None else frame.expires_at
    covered = _FIXED.pack(
        zlib.crc32(frame.value), len(frame.value), number, stored_at, frame.captured_at, expires_at, len(name)
    )
    covered += name
    return marker + _CRC.pack(zlib.crc32(covered)) + covered, frame.value


def unpack_header(marker: bytes, found: bytes) -> RecordHeader | None:
    """The header at the beginning of `found`; None when there is no sound one."""
    if len(found) < FIXED_BYTES or not found.startswith(marker):
        return None
    (header_crc,) = _CRC.unpack_from(found, MARKER_BYTES)
    body_crc, body_bytes, number, stored_at, captured_at, expires_at, name_bytes = _FIXED.unpack_from(
        found, MARKER_BYTES + _CRC.size
    )
    header_bytes = FIXED_BYTES + name_bytes
    covered = found[MARKER_BYTES + _CRC.size : header_bytes]
    if len(found) < header_bytes or zlib.crc32(covered) != header_crc:
        return None
    return RecordHeader(
        number,
        found[FIXED_BYTES:header_bytes].decode(),
        stored_at,
        captured_at,
        None if expires_at == _NEVER else expires_at,
        body_crc,
        header_bytes,
        body_bytes,
    )


def unpack(marker: bytes, found: bytes) -> ReadyFrame | None:
    """The frame of a whole record; None when a byte of it is not what was written."""
    header = unpack_header(marker, found)
    if header is None or len(found) != header.size_bytes:
        return None
    body = found[header.header_bytes :]
    if zlib.crc32(body) != header.body_crc:
        return None
    return ReadyFrame(header.source_id, header.frame_id, header.captured_at, header.expires_at, body)
