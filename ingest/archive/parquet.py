"""One Parquet file of an archive: how it is written, and how a part of it is read and proved.

Every row group and the footer have a checksum (CRC-32): those of the row groups stand in the footer, that of the footer
in the manifest. So a reader proves what it reads and fetches nothing else.
"""

import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from infra.kafka.spans import Period
from ingest.archive.manifest import ArchivedFile
from ingest.archive.rows import SCHEMA, Row, table_of
from ingest.archive.store import Store
from schemas.errors import ArchiveError

# JPEG does not shrink. The other columns are small and do.
COMPRESSION = {
    **dict.fromkeys(SCHEMA.names, "ZSTD"),
    "headers.list.element.name": "ZSTD",
    "headers.list.element.value": "ZSTD",
    "value": "NONE",
}
# A dictionary costs nothing where all rows of a group are equal.
DICTIONARIES = ["topic", "partition", "source_id"]
STATISTICS = ["partition", "offset", "timestamp", "source_id", "captured_at"]
CHECKSUMS = b"sightline.row_groups"
# Metadata is read from the end, behind the word that each file begins with.
MAGIC = b"PAR1"

Data = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the tables, to be compared with what is read back, and where the footer begins."""

    tables: Sequence[pa.Table]
    footer_start: int
    size_bytes: int
    footer_crc32: int


class _Sink(io.RawIOBase):
    """Counts what passes and takes its checksum."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.position = 0
        self.crc32 = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        self.crc32 = zlib.crc32(view, self.crc32)
        left = view
        while left:
            left = left[self._out.write(left) :]
        self.position += len(view)
        return len(view)

    def tell(self) -> int:
        return self.position

    def begin(self) -> None:
        """A new part begins here."""
        self.crc32 = 0


def write_file(out: BinaryIO, groups: Iterable[list[Row]]) -> Written:
    """Write each group as a row group. The lists are emptied: the rows live on in the tables alone."""
    sink, tables, parts = _Sink(out), list[pa.Table](), list[tuple[int, int, int]]()
    writer = pq.ParquetWriter(
        pa.PythonFile(sink, mode="w"),
        SCHEMA,
        compression=COMPRESSION,
        use_dictionary=DICTIONARIES,
        write_statistics=STATISTICS,
        store_schema=True,
    )
    for group in groups:
        table = table_of(group)
        group.clear()
        start = sink.position
        sink.begin()
        writer.write_table(table, row_group_size=len(table))
        parts.append((start, sink.position, sink.crc32))
        tables.append(table)
    writer.add_key_value_metadata({CHECKSUMS.decode(): json.dumps(parts)})
    footer_start = sink.position
    sink.begin()
    writer.close()
    return Written(tables, footer_start, sink.position, sink.crc32)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which row groups are needed: offsets `from_offset` to `to_offset`, a period, and sources."""

    from_offset: int
    to_offset: int
    period: Period
    source: Callable[[str], bool]


class ArchiveFile:
    """A file opened by its footer. Raises ArchiveError, which names the file, where it is missing, cut or altered."""

    def __init__(self, fetch: Callable[[int, int], Data], file: ArchivedFile, name: str) -> None:
        """`fetch` returns the bytes from an offset to another."""
        self._fetch, self._file, self._name = fetch, file, name
        footer = self._part(file.footer_start, file.size_bytes, file.footer_crc32)
        try:
            self._metadata = pq.read_metadata(pa.BufferReader(MAGIC + bytes(footer)))
            self._parts: list[tuple[int, int, int]] = json.loads(self._metadata.metadata[CHECKSUMS])
        except (pa.ArrowException, ValueError, KeyError, OSError) as error:
            raise self._altered() from error
        # Every byte belongs to a part that has a checksum.
        if [start for start, _, _ in self._parts] + [file.footer_start] != [
            len(MAGIC),
            *(end for _, end, _ in self._parts),
        ]:
            raise self._altered()
        self._columns = {self._metadata.schema.column(i).path: i for i in range(self._metadata.num_columns)}

    @staticmethod
    def open(
        store: Store, topic: str, file: ArchivedFile, fetch: Callable[[int, int], Data] | None = None
    ) -> "ArchiveFile":
        """`fetch`: where the bytes are at hand already."""
        path = f"{topic}/{file.path}"

        def read(start: int, end: int) -> bytes:
            try:
                return store.read(path, start, end)
            except FileNotFoundError:
                raise missing(store.named(path)) from None

        return ArchiveFile(fetch or read, file, store.named(path))

    @property
    def group_count(self) -> int:
        return int(self._metadata.num_row_groups)

    def needed(self, wanted: Selection) -> Iterator[int]:
        """The row groups that may hold wanted records, by their statistics: nothing is read."""
        return (group for group in range(self.group_count) if self._may_hold(group, wanted))

    def table(self, group: int) -> pa.Table:
        """The rows of one row group, proved by its checksum."""
        start, end, crc32 = self._parts[group]
        raw = self._part(start, end, crc32)
        try:
            source = pa.PythonFile(_Window(start, raw, self._file.size_bytes), mode="r")
            return pq.ParquetFile(source, metadata=self._metadata).read_row_group(group, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise self._altered() from error

    def _part(self, start: int, end: int, crc32: int) -> Data:
        raw = self._fetch(start, end)
        if len(raw) < end - start:
            raise ArchiveError(
                f"{self._name} is cut: it ends at byte {start + len(raw):,} of {self._file.size_bytes:,} or before"
            )
        if zlib.crc32(raw) != crc32:
            raise self._altered()
        return raw

    def _may_hold(self, group: int, wanted: Selection) -> bool:
        offsets, times = self._range(group, "offset"), self._range(group, "timestamp")
        source = self._range(group, "source_id")
        if offsets is not None and (offsets[0] >= wanted.to_offset or offsets[1] < wanted.from_offset):
            return False
        if times is not None and not may_hold(wanted.period, *times):
            return False
        return source is None or wanted.source(source[0].decode())

    def _range(self, group: int, column: str) -> tuple[Any, Any] | None:
        """The least and the greatest value; None where the file does not tell, as of very long ids."""
        statistics = self._metadata.row_group(group).column(self._columns[column]).statistics
        return (statistics.min_raw, statistics.max_raw) if statistics is not None and statistics.has_min_max else None

    def _altered(self) -> ArchiveError:
        return ArchiveError(f"{self._name} was altered: its checksum or its form is another")


def missing(name: str) -> ArchiveError:
    return ArchiveError(f"{name} is missing, although the manifest of its day names it")


def may_hold(period: Period, least_ms: int, greatest_ms: int) -> bool:
    """Whether a time between the two, both included, may lie in the period."""
    return (period.from_us is None or greatest_ms * 1000 >= period.from_us) and (
        period.to_us is None or least_ms * 1000 < period.to_us
    )


class _Window(io.RawIOBase):
    """A file of which one part is at hand. Reading anything else is a defect."""

    def __init__(self, start: int, data: Data, size_bytes: int) -> None:
        self._start, self._data, self._size, self._at = start, memoryview(data), size_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> memoryview:  # pyarrow takes it without a copy
        start = self._at - self._start
        end = len(self._data) if size < 0 else start + size
        if start < 0 or end > len(self._data):
            raise OSError(f"bytes {self._at} to {self._at + size} are outside the row group")
        self._at += end - start
        return self._data[start:end]
