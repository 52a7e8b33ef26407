"""One file of a spool: records are appended, read by their place, and found again after a crash or damage."""

import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.settings import MIB
from ingest.publish.frame import ReadyFrame
from ingest.publish.spool.record import (
    FIXED_BYTES,
    MARKER_BYTES,
    MAX_HEADER_BYTES,
    RecordHeader,
    pack,
    unpack,
    unpack_header,
)
from schemas.records import Micros

_NAME = re.compile(r"(\d{20})-([0-9a-f]{16})\.spool")
_SEARCH_BYTES = MIB


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are no record. `frames`: how many frames are missing there, as far as numbers tell."""

    start: int
    end: int
    frames: int


class Segment:
    """`size_bytes` is what sound appends have written; `pending` counts the records that the spool still needs.

    Its methods raise OSError. A failed `append` leaves no part of a record behind; where the disk does not allow that,
    the segment is sealed.
    """

    def __init__(self, path: Path, first_number: int, marker: bytes, size_bytes: int = 0) -> None:
        self.path, self.first_number, self.marker, self.size_bytes = path, first_number, marker, size_bytes
        self.pending = 0
        self._descriptor: int | None = None
        self._reader: int | None = None  # kept, so that the kernel reads ahead
        self._is_synced = True

    @classmethod
    def create(cls, folder: Path, first_number: int) -> "Segment":
        """A new, empty segment that is open for appending."""
        marker = secrets.token_bytes(MARKER_BYTES)
        segment = cls(folder / f"{first_number:020}-{marker.hex()}.spool", first_number, marker)
        segment._descriptor = os.open(segment.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        return segment

    @classmethod
    def all_in(cls, folder: Path) -> list["Segment"]:
        """The segments in a folder, oldest first. Other files are left alone."""
        named = ((path, _NAME.fullmatch(path.name)) for path in sorted(folder.iterdir()))
        return [
            cls(path, int(match[1]), bytes.fromhex(match[2]), path.stat().st_size) for path, match in named if match
        ]

    @property
    def is_open(self) -> bool:
        return self._descriptor is not None

    def append(self, number: int, frame: ReadyFrame, stored_at: Micros) -> tuple[int, int]:
        """Write one record; its offset and length."""
        assert self._descriptor is not None, "a sealed segment takes no records"
        parts = pack(self.marker, number, frame, stored_at)
        length = sum(map(len, parts))
        try:
            written = os.writev(self._descriptor, parts)
            if written < length:  # the disk is nearly full: the rest tells why
                _write_all(self._descriptor, b"".join(parts)[written:])
        except OSError:
            self._undo()
            raise
        self._is_synced = False
        offset = self.size_bytes
        self.size_bytes += length
        return offset, length

    def read(self, offset: int, length: int) -> ReadyFrame | None:
        """The frame of the record at that place; None when it is damaged."""
        if self._reader is None:
            self._reader = os.open(self.path, os.O_RDONLY)
        return unpack(self.marker, os.pread(self._reader, length, offset))

    def sync(self) -> None:
        """Let the disk have what was appended."""
        if self._descriptor is not None and not self._is_synced:
            os.fdatasync(self._descriptor)
            self._is_synced = True

    def seal(self) -> None:
        """Nothing is appended from now on."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                if not self._is_synced:
                    os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def close_reader(self) -> None:
        """Close the file that `read` holds; a further `read` opens it again."""
        reader, self._reader = self._reader, None
        if reader is not None:
            os.close(reader)

    def close(self) -> None:
        """Seal it, and close its file."""
        self.close_reader()
        self.seal()

    def scan(self) -> Iterator[tuple[int, RecordHeader] | Damage]:
        """Every record with its offset, and every damaged range. Bodies are not read: `read` checks them."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            yield from self._scan(descriptor)
        finally:
            os.close(descriptor)

    def _undo(self) -> None:
        assert self._descriptor is not None
        try:
            os.ftruncate(self._descriptor, self.size_bytes)
        except OSError:
            os.close(self._descriptor)
            self._descriptor = None

    def _scan(self, descriptor: int) -> Iterator[tuple[int, RecordHeader] | Damage]:
        offset, search_from, next_number = 0, 0, self.first_number
        while offset < self.size_bytes:
            header = unpack_header(self.marker, os.pread(descriptor, MAX_HEADER_BYTES, offset))
            if header is not None and offset + header.size_bytes <= self.size_bytes:
                yield offset, header
                search_from, next_number = offset + FIXED_BYTES, header.number + 1
                offset += header.size_bytes
                continue
            # Bytes may be missing as well as wrong: the next record may begin within what was the last one's body.
            found = self._find(descriptor, offset + 1 if header is not None else search_from)
            end = self.size_bytes if found is None else found[0]
            if found is None:
                yield Damage(offset, end, 1)
                return
            if end > offset:
                yield Damage(offset, end, found[1].number - next_number)
            offset = search_from = end

    def _find(self, descriptor: int, start: int) -> tuple[int, RecordHeader] | None:
        """The first sound header at or behind `start`."""
        while start < self.size_bytes:
            block = os.pread(descriptor, _SEARCH_BYTES, start)
            at = block.find(self.marker)
            while at >= 0:
                header = unpack_header(self.marker, os.pread(descriptor, MAX_HEADER_BYTES, start + at))
                if header is not None and start + at + header.size_bytes <= self.size_bytes:
                    return start + at, header
                at = block.find(self.marker, at + 1)
            if start + len(block) >= self.size_bytes:
                return None
            start += len(block) - MARKER_BYTES + 1
        return None


def _write_all(descriptor: int, rest: bytes) -> None:
    while rest:
        rest = rest[os.write(descriptor, rest) :]
