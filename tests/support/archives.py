"""Archives made without Kafka: records by hand, and an archive of them in memory or on disk."""

import itertools
from collections.abc import Iterable

from infra.kafka.records import ConsumedRecord
from ingest.archive.book import BookWriter
from ingest.archive.events import Keep, everything
from ingest.archive.rows import row_of
from ingest.archive.slices import Slicer
from ingest.archive.store import Store, open_store
from ingest.archive.write import SliceWriter
from schemas import codec
from schemas.headers import RawHeaders
from schemas.records import Encoding, Frame, SourceKind

TOPIC, LOG_ID = "frames.raw", "cluster/topic"
# 2026-11-26T12:00:00Z
NOON_MS = 1_795_694_400_000
MAX_FILE_BYTES = 1 << 30
_numbers = itertools.count()


def memory_url() -> str:
    """A URL in memory that nothing uses yet."""
    return f"memory://archive-{next(_numbers)}"


def a_record(
    offset: int,
    source_id: str = "dock-1",
    timestamp_ms: int = NOON_MS,
    *,
    partition: int = 0,
    image: bytes = b"\xff\xd8 image",
    headers: RawHeaders = None,
) -> ConsumedRecord:
    """The record of a frame."""
    frame = Frame(
        f"{source_id}/1/{offset}",
        source_id,
        SourceKind.CAMERA,
        1,
        offset,
        timestamp_ms * 1000 + 7,
        timestamp_ms * 1000 + 9,
        Encoding.JPEG,
        image,
    )
    return ConsumedRecord(TOPIC, partition, offset, timestamp_ms, source_id.encode(), codec.encode(frame), headers)


def archive_records(
    store: Store,
    records: Iterable[ConsumedRecord],
    *,
    start: int = 0,
    end: int | None = None,
    max_bytes: int = MAX_FILE_BYTES,
    keep: Keep = everything,
    now_ms: int = NOON_MS,
) -> None:
    """Archive the records of one partition as a run does, from `start` to `end` or the last record."""
    book = BookWriter.open(store, TOPIC, LOG_ID, None)
    writer = SliceWriter(book)
    try:
        slicer, last, partition = None, start - 1, 0
        for record in records:
            partition, last = record.partition, record.offset
            slicer = slicer or Slicer(partition, start, max_bytes)
            row = row_of(record, None)
            if (piece := slicer.add(row, keep=keep(row.source_id, record.timestamp_ms))) is not None:
                writer.store(piece, now_ms)
        slicer = slicer or Slicer(partition, start, max_bytes)
        if (piece := slicer.end(last + 1 if end is None else end)) is not None:
            writer.store(piece, now_ms)
        writer.finish()
    finally:
        writer.close()
        book.close()


def an_archive(records: Iterable[ConsumedRecord], url: str = "", *, max_bytes: int = MAX_FILE_BYTES) -> str:
    """The URL of a new archive of them."""
    url = url or memory_url()
    archive_records(open_store(url), records, max_bytes=max_bytes)
    return url
