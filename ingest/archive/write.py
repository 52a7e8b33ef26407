"""Writes a slice as a file, reads it back from the storage, and only then lets it count."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

from ingest.archive.book import BookWriter
from ingest.archive.layout import day_of
from ingest.archive.manifest import NO_RECORD, NONE_SELECTED, ArchivedFile, Gap
from ingest.archive.parquet import ArchiveFile, Written, write_file
from ingest.archive.rows import row_groups
from ingest.archive.slices import Slice
from schemas.errors import ArchiveError

MAX_ROW_GROUP_BYTES = 64_000_000
# Row groups are proved beside each other; more of them would only be more memory.
PROVING_THREADS = 2


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a slice: a file, or a gap where it had nothing to keep."""

    file: ArchivedFile | None
    gap: Gap | None


@dataclass(frozen=True, slots=True)
class _Written:
    """A file that does not count yet: its row groups are being compared."""

    day: str
    file: ArchivedFile
    name: str
    same: Sequence["Future[bool]"]


class SliceWriter:
    """Use from one thread. A slice is read back and compared while the next one is read and written."""

    def __init__(self, book: BookWriter) -> None:
        self._book = book
        self._proving = ThreadPoolExecutor(PROVING_THREADS, "archive-proof")
        self._written: _Written | None = None

    def close(self) -> None:
        """A file that does not count yet stays a stray."""
        self._proving.shutdown(cancel_futures=True)

    def store(self, piece: Slice, now_ms: int) -> list[Stored]:
        """Write the slice, whose rows are used up. Returns what counts now: the slice before, or a gap.

        Raises NoRoom or ArchiveError; then this slice is not archived, and `finish` tells of the one before.
        """
        if not piece.kept:
            nothing = NO_RECORD if piece.hour < 0 else NONE_SELECTED
            return self.add_gap(Gap(piece.partition, piece.from_offset, piece.to_offset, nothing, now_ms))
        written = self._write(piece)
        counted = self.finish()
        self._written = written
        return counted

    def finish(self) -> list[Stored]:
        """Let the last file count, once it is proved. Raises ArchiveError when it is not what was written."""
        written, self._written = self._written, None
        if written is None:
            return []
        if not all(same.result() for same in written.same):
            raise ArchiveError(f"{written.name} was read back and is not what was written: the storage is at fault")
        self._book.add_file(written.day, written.file)
        return [Stored(written.file, None)]

    def add_gap(self, gap: Gap) -> list[Stored]:
        """These offsets are in no file."""
        counted = self.finish()
        self._book.add_gap(day_of(gap.found_at_ms), gap)
        return [*counted, Stored(None, gap)]

    def _write(self, piece: Slice) -> _Written:
        kept, results = piece.kept, list[Written]()
        piece.kept = []
        times = [row.record.timestamp_ms for row in kept]
        path = self._book.path_for(piece.partition, piece.from_offset, piece.to_offset, max(times))
        sources = len({row.source_id for row in kept})
        payload_bytes = sum(len(row.record.value or b"") for row in kept)

        def fill(out: BinaryIO) -> None:
            results.append(write_file(out, row_groups(kept, MAX_ROW_GROUP_BYTES)))

        self._book.store.write(path, fill)
        written = results[0]
        file = ArchivedFile(
            path=path.removeprefix(f"{self._book.topic}/"),
            partition=piece.partition,
            from_offset=piece.from_offset,
            to_offset=piece.to_offset,
            least_ms=min(times),
            greatest_ms=max(times),
            frames=len(times),
            payload_bytes=payload_bytes,
            size_bytes=written.size_bytes,
            sources=sources,
            footer_start=written.footer_start,
            footer_crc32=written.footer_crc32,
            holes=tuple(piece.holes),
        )
        name = self._book.store.named(path)
        return _Written(day_of(max(times)), file, name, self._compare(path, file, written))

    def _compare(self, path: str, file: ArchivedFile, written: Written) -> list["Future[bool]"]:
        """Begin to read the file back, as a reader does, and to compare it with what was written."""
        store = self._book.store
        # A disk gives parts at once. An object store is asked once for all, and not once for each row group.
        fetch = None if store.folder is not None else store.read_all(path)
        found = ArchiveFile.open(store, self._book.topic, file, fetch)
        if found.group_count != len(written.tables):
            return [self._proving.submit(lambda: False)]
        return [
            self._proving.submit(lambda number, table: found.table(number).equals(table), number, table)
            for number, table in enumerate(written.tables)
        ]
