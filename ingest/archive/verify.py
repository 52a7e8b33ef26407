"""Proves an archive: every file is there, whole and unaltered, and its rows are what the manifest says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from ingest.archive.book import Book
from ingest.archive.manifest import ArchivedFile
from ingest.archive.parquet import ArchiveFile, missing
from schemas.errors import ArchiveError


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file, as one sentence that names it."""

    file: str
    sentence: str


def verify(book: Book, stop: Callable[[], bool] = lambda: False) -> Iterator[Fault | None]:
    """One answer for each file, None where it is right; then one for each overlap of two files."""
    files = book.files()
    for file in files:
        if stop():
            return
        try:
            _verify_file(book, file)
        except ArchiveError as error:
            yield Fault(file.path, str(error))
        else:
            yield None
    for one, other in pairwise(files):
        if one.partition == other.partition and other.from_offset < one.to_offset:
            yield Fault(other.path, f"{book.store.named(other.path)} has offsets that {one.path} has too")


def _verify_file(book: Book, file: ArchivedFile) -> None:
    path = f"{book.topic}/{file.path}"
    name = book.store.named(path)
    try:
        raw = book.store.read(path)
    except FileNotFoundError:
        raise missing(name) from None
    if len(raw) < file.size_bytes:
        raise ArchiveError(f"{name} is cut: it has {len(raw):,} of {file.size_bytes:,} bytes")
    if len(raw) > file.size_bytes:
        raise ArchiveError(f"{name} was altered: it has {len(raw):,} bytes and not {file.size_bytes:,}")
    opened = ArchiveFile(lambda start, end: raw[start:end], file, name)
    frames = 0
    for group in range(opened.group_count):
        table = opened.table(group)
        offsets = table.column("offset").to_pylist()
        frames += len(offsets)
        if len(set(table.column("source_id").to_pylist())) > 1:
            raise ArchiveError(f"{name} has a row group with more than one source")
        if min(offsets) < file.from_offset or max(offsets) >= file.to_offset or len(set(offsets)) < len(offsets):
            raise ArchiveError(f"{name} has other offsets than the manifest says")
    if frames != file.frames:
        raise ArchiveError(f"{name} has {frames:,} frames, but the manifest says {file.frames:,}")
