"""Reads an archive: what other commands use. Camera and time are found by the footers of files; nothing else is read.

archive = open_archive("s3://bucket/frames")
for record in archive.records("frames.raw", 3, 1_200, 4_711, source_glob="dock-*"):
    ...
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain

from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Period
from ingest.archive.book import Book
from ingest.archive.manifest import ArchivedFile, Gap
from ingest.archive.parquet import ArchiveFile, Selection, may_hold
from ingest.archive.rows import records_of
from ingest.archive.store import open_store


@dataclass(frozen=True, slots=True)
class ArchivedSpan:
    """Offsets `from_offset` to `to_offset` (exclusive) of a partition, and the times of the records in them.

    `frames` and `payload_bytes` are what the `file` holds of them.
    """

    topic: str
    partition: int
    from_offset: int
    to_offset: int
    least_ms: int
    greatest_ms: int
    file: str
    frames: int
    payload_bytes: int


class Archive:
    """The archive as it was when it was opened; a later run only adds to it, and retention by age removes.

    `only` says which frames it keeps; None: every frame of its ranges.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self.topic, self.log_id, self.only = book.topic, book.head.log_id, book.head.only

    @property
    def url(self) -> str:
        return self._book.store.url

    @property
    def bytes_read(self) -> int:
        """The bytes that were fetched from the storage so far."""
        return self._book.store.bytes_read

    def spans(self, topic: str) -> list[ArchivedSpan]:
        """What is archived of the topic, by partition and offset; none of another topic."""
        return [
            ArchivedSpan(
                topic,
                file.partition,
                file.from_offset,
                file.to_offset,
                file.least_ms,
                file.greatest_ms,
                file.path,
                file.frames,
                file.payload_bytes,
            )
            for file in self._files(topic)
        ]

    def gaps(self, topic: str) -> list[Gap]:
        """The offsets that the archive passed over, with the reason; those of holes in its files are in the files."""
        return self._book.gaps() if topic == self.topic else []

    def records(
        self,
        topic: str,
        partition: int,
        from_offset: int,
        to_offset: int,
        source_glob: str | None = None,
        period: Period | None = None,
    ) -> Iterator[ConsumedRecord]:
        """The archived records of the range that match, in the order of their offsets, as they lay on the topic.

        `source_glob`: of their source_id. `period`: of the time of the record. Reads the footer of each file of the
        range and the row groups that may hold such records, and checks their checksums. Raises ArchiveError, naming
        the file, where one is missing, cut or altered. At most one file is in memory.
        """
        period = period or Period()
        wanted = Selection(from_offset, to_offset, period, lambda source_id: _matches(source_id, source_glob))
        for file in self._files(topic):
            overlaps = file.from_offset < to_offset and file.to_offset > from_offset
            if file.partition == partition and overlaps and may_hold(period, file.least_ms, file.greatest_ms):
                yield from _records_of_file(self._open(file), wanted)

    def _files(self, topic: str) -> list[ArchivedFile]:
        return self._book.files() if topic == self.topic else []

    def _open(self, file: ArchivedFile) -> ArchiveFile:
        return ArchiveFile.open(self._book.store, self.topic, file)


def open_archive(url: str) -> Archive:
    """Raises ConfigError for a URL that cannot be opened, and ArchiveError where there is no whole archive."""
    return Archive(Book.load(open_store(url)))


def _records_of_file(file: ArchiveFile, wanted: Selection) -> Iterator[ConsumedRecord]:
    """Row groups hold a source each, so the records of all of them are put into the order of their offsets."""
    tables = (file.table(group) for group in file.needed(wanted))
    found = chain.from_iterable(
        records_of(table) for table in tables if wanted.source(table.column("source_id")[0].as_py())
    )
    kept = [
        record
        for record in found
        if wanted.from_offset <= record.offset < wanted.to_offset and wanted.period.holds(record.timestamp_ms)
    ]
    kept.sort(key=lambda record: record.offset)
    yield from kept


def _matches(source_id: str, glob: str | None) -> bool:
    return glob is None or fnmatchcase(source_id, glob)
