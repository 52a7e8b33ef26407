"""Writes a slice as a file, reads it back from the storage, and only then lets it count."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import BinaryIO

from ingest.archive.book import BookWriter
from ingest.archive.layout import day_of
from ingest.archive.manifest import NO_RECORD, NONE_SELECTED, RETENTION, ArchivedFile, Gap
from ingest.archive.parquet import ArchiveFile, Written, missing, write_file
from ingest.archive.rows import row_groups
from ingest.archive.slices import Slice
from schemas.errors import ArchiveError

MAX_ROW_GROUP_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a slice: a file, or a gap where it had nothing to keep."""

    file: ArchivedFile | None
    gap: Gap | None


class SliceWriter:
    """Use from one thread."""

    def __init__(self, book: BookWriter) -> None:
        self._book = book
        # The checksum of the file is taken beside the comparison of its content.
        self._hashing = ThreadPoolExecutor(1, "archive-checksum")

    def close(self) -> None:
        self._hashing.shutdown()

    def store(self, piece: Slice, now_ms: int) -> Stored:
        """Returns once the slice counts as archived. Its rows are used up.

        Raises NoRoom or ArchiveError, and then nothing of it is archived.
        """
        if not piece.kept:
            nothing = NO_RECORD if piece.hour < 0 else NONE_SELECTED
            gap = Gap(piece.partition, piece.from_offset, piece.to_offset, nothing, now_ms)
            self._book.add_gap(day_of(now_ms), gap)
            return Stored(None, gap)
        times = [row.record.timestamp_ms for row in piece.kept]
        sources = len({row.source_id for row in piece.kept})
        frames, payload_bytes = len(times), sum(len(row.record.value or b"") for row in piece.kept)
        path = self._book.path_for(piece.partition, piece.from_offset, piece.to_offset, max(times))
        written = self._write(path, piece)
        file = ArchivedFile(
            path=path.removeprefix(f"{self._book.topic}/"),
            partition=piece.partition,
            from_offset=piece.from_offset,
            to_offset=piece.to_offset,
            least_ms=min(times),
            greatest_ms=max(times),
            frames=frames,
            payload_bytes=payload_bytes,
            size_bytes=written.size_bytes,
            sources=sources,
            sha256="",
            footer_start=written.footer_start,
            footer_crc32=written.footer_crc32,
            holes=tuple(piece.holes),
        )
        proved = self._read_back(path, file, written)
        self._book.add_file(day_of(max(times)), proved)
        return Stored(proved, None)

    def lost(self, partition: int, from_offset: int, to_offset: int, now_ms: int) -> Gap:
        """Retention removed these offsets before they were archived."""
        gap = Gap(partition, from_offset, to_offset, RETENTION, now_ms)
        self._book.add_gap(day_of(now_ms), gap)
        return gap

    def _write(self, path: str, piece: Slice) -> Written:
        kept, written = piece.kept, list[Written]()
        piece.kept = []

        def fill(out: BinaryIO) -> None:
            written.append(write_file(out, row_groups(kept, MAX_ROW_GROUP_BYTES)))

        self._book.store.write(path, fill)
        return written[0]

    def _read_back(self, path: str, file: ArchivedFile, written: Written) -> ArchivedFile:
        """The file with its checksum. Raises ArchiveError when the storage returns anything but what was written."""
        name = self._book.store.named(path)
        try:
            raw = memoryview(self._book.store.read(path))
        except FileNotFoundError:
            raise missing(name) from None
        digest = self._hashing.submit(lambda: hashlib.sha256(raw).hexdigest())
        found = ArchiveFile(lambda start, end: raw[start:end], file, name)
        same = len(raw) == file.size_bytes and found.group_count == len(written.tables)
        same = same and all(found.table(number).equals(table) for number, table in enumerate(written.tables))
        if not same:
            raise ArchiveError(f"{name} was read back and is not what was written: the storage is at fault")
        return replace(file, sha256=digest.result())
