"""The archive: writing against bare pyarrow on the same disk, and what one camera of a hundred costs to read."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.kafka.records import ConsumedRecord
from ingest.archive.book import BookWriter
from ingest.archive.reading import open_archive
from ingest.archive.rows import row_of
from ingest.archive.slices import Slice, Slicer
from ingest.archive.store import open_store
from ingest.archive.write import SliceWriter
from schemas import codec
from schemas.errors import SightlineError
from streams.bench.measure import median_ratio, rate_of, rates_in_turn
from streams.bench.report import Report
from streams.bench.sample_frames import frame, jpegs, unique

TOPIC, CAMERAS, FRAMES = "frames.raw", 100, 4_000
FILE_BYTES = 128 * 1024 * 1024
WRITE_GOAL, READ_GOAL = 0.6, 0.05
FRAME_EVERY_MS = 200
BARE_SCHEMA = pa.schema([("offset", pa.int64()), ("key", pa.binary()), ("value", pa.binary())])


def measure_archive(report: Report, repeats: int, frames: int = FRAMES, folder: Path | None = None) -> None:
    """Adds two ratios and their figures. `folder`: on the disk to measure, by default that of temporary files.

    Ours: frames as they were consumed, to files that were synced, read back, compared and named by a manifest. Bare:
    the same bytes as a table to one synced file, by pyarrow alone.
    """
    records = _records(frames)
    payload_bytes = sum(len(record.value or b"") for record in records)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        home = Path(name)

        def ours(_number: int) -> float:
            shutil.rmtree(home / "archive", ignore_errors=True)
            return _ours(home, records)

        pairs = rates_in_turn(repeats, ours, lambda _: _bare(home, records))
        share = _one_camera(home / "archive", records)
    report.ratio("archive_over_bare_pyarrow", median_ratio(pairs), ">=", WRITE_GOAL)
    report.ratio("archive_bytes_for_one_camera_of_100", share, "<=", READ_GOAL)
    megabytes = payload_bytes / frames / 1e6
    report.figures |= {
        "archive_mb_per_s": [round(ours * megabytes) for ours, _ in pairs],
        "bare_pyarrow_mb_per_s": [round(bare * megabytes) for _, bare in pairs],
        "archive_payload_mb": round(payload_bytes / 1e6),
    }


def _records(count: int) -> list[ConsumedRecord]:
    images = jpegs()
    start_ms = 1_790_000_000_000 // 3_600_000 * 3_600_000
    return [
        ConsumedRecord(TOPIC, 0, number, start_ms + number * FRAME_EVERY_MS, _camera(number).encode(), value, [])
        for number, value in enumerate(_values(images, count))
    ]


def _values(images: Sequence[bytes], count: int) -> Iterator[bytes]:
    return (
        codec.encode(frame(unique(images[number % len(images)], number), _camera(number), number))
        for number in range(count)
    )


def _camera(number: int) -> str:
    return f"camera-{number % CAMERAS:03d}"


def _ours(home: Path, records: Sequence[ConsumedRecord]) -> float:
    def work() -> int:
        book = BookWriter.open(open_store(str(home / "archive")), TOPIC, "bench", None)
        writer, slicer = SliceWriter(book), Slicer(0, 0, FILE_BYTES)

        def store(piece: Slice | None) -> None:
            if piece is not None:
                writer.store(piece, 0)

        for record in records:
            store(slicer.add(row_of(record, None)))
        store(slicer.end(len(records)))
        writer.finish()
        writer.close()
        book.close()
        return len(records)

    return rate_of(work)


def _bare(home: Path, records: Sequence[ConsumedRecord]) -> float:
    def work() -> int:
        with (home / "bare.parquet").open("wb") as out:
            writer = pq.ParquetWriter(
                out, BARE_SCHEMA, compression="NONE", use_dictionary=False, write_statistics=False
            )
            group = max(1, len(records) * 64_000_000 // sum(len(record.value or b"") for record in records))
            for start in range(0, len(records), group):
                part = records[start : start + group]
                columns = [
                    pa.array([record.offset for record in part], pa.int64()),
                    pa.array([record.key for record in part], pa.binary()),
                    pa.array([record.value for record in part], pa.binary()),
                ]
                writer.write_table(pa.table(columns, schema=BARE_SCHEMA))
            writer.close()
            out.flush()
            os.fsync(out.fileno())
        return len(records)

    return rate_of(work)


def _one_camera(archive: Path, records: Sequence[ConsumedRecord]) -> float:
    """The bytes that were fetched for one camera, as a share of those of all files."""
    opened = open_archive(str(archive))
    found = list(opened.records(TOPIC, 0, 0, len(records), source_glob=_camera(37)))
    if len(found) != len(records[37::CAMERAS]):
        raise SightlineError(f"the archive gave {len(found)} frames of one camera")
    whole = sum(path.stat().st_size for path in archive.rglob("*.parquet"))
    return opened.bytes_read / whole
