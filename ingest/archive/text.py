"""An archive as text for people and as JSON. Pure."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from ingest.archive.book import Book
from ingest.archive.manifest import ArchivedFile
from ingest.archive.run import Result
from ingest.archive.verify import Fault
from schemas.records import micros_to_iso


def result_json(result: Result, *, complete: bool) -> dict[str, Any]:
    """The object that `archive run --json` prints. Its keys are a contract."""
    return {
        "files": result.files,
        "frames": result.frames,
        "bytes": result.bytes,
        "removed_files": result.removed_files,
        "gaps": dict(result.gaps),
        "waiting": result.waiting,
        "complete": complete,
    }


def describe_result(result: Result) -> str:
    lines = [f"archived {result.frames:,} frames in {result.files:,} files, {megabytes(result.bytes)}"]
    if result.removed_files:
        lines.append(f"removed {result.removed_files:,} files by age")
    lines += [f"{count:,} offsets are in no file: {reason}" for reason, count in sorted(result.gaps.items())]
    return "\n".join(lines)


def list_json(book: Book) -> dict[str, Any]:
    """The object that `archive list --json` prints. Its keys are a contract."""
    return {
        "topic": book.topic,
        "only": book.head.only,
        "frames": sum(file.frames for file in book.files()),
        "bytes": sum(file.size_bytes for file in book.files()),
        "files": [_file_json(file) for file in book.files()],
        "gaps": [
            {
                "partition": gap.partition,
                "from": gap.from_offset,
                "to": gap.to_offset,
                "reason": gap.reason,
                "found_at": _iso(gap.found_at_ms),
            }
            for gap in book.gaps()
        ],
    }


def list_table(book: Book) -> Table:
    """A line for each hour, which fits 80 columns. `from` has its day only where that is another one."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("hour", "from", "to"):
        table.add_column(name)
    for name in ("partitions", "files", "frames", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    by_hour: dict[str, list[ArchivedFile]] = {}
    for file in book.files():
        by_hour.setdefault(file.path.rpartition("/")[0], []).append(file)
    for hour in sorted(by_hour):
        files = by_hour[hour]
        name = hour.replace("day=", "").replace("/hour=", " ")
        table.add_row(
            name,
            _clock(min(file.least_ms for file in files), name[:10]),
            _clock(max(file.greatest_ms for file in files), name[:10]),
            f"{len({file.partition for file in files}):,}",
            f"{len(files):,}",
            f"{sum(file.frames for file in files):,}",
            megabytes(sum(file.size_bytes for file in files)),
        )
    return table


def describe_gaps(book: Book) -> str:
    """A sentence for each gap; empty where there is none."""
    return "\n".join(
        f"{book.topic}/{gap.partition} offsets {gap.from_offset} to {gap.to_offset - 1} are in no file: {gap.reason}"
        for gap in book.gaps()
    )


def verify_json(book: Book, faults: Iterable[Fault], checked: int, *, complete: bool = True) -> dict[str, Any]:
    """The object that `archive verify --json` prints. Its keys are a contract. What was not looked at is not ok."""
    found = list(faults)
    return {
        "files": checked,
        "frames": sum(file.frames for file in book.files()),
        "faults": [{"file": fault.file, "error": fault.sentence} for fault in found],
        "complete": complete,
        "ok": complete and not found,
    }


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _file_json(file: ArchivedFile) -> dict[str, Any]:
    return {
        "file": file.path,
        "partition": file.partition,
        "from": file.from_offset,
        "to": file.to_offset,
        "least": _iso(file.least_ms),
        "greatest": _iso(file.greatest_ms),
        "frames": file.frames,
        "bytes": file.size_bytes,
        "sources": file.sources,
        "holes": [list(hole) for hole in file.holes],
    }


def _iso(timestamp_ms: int) -> str:
    return micros_to_iso(timestamp_ms * 1000).replace(".000000Z", "Z")


def _clock(timestamp_ms: int, day: str) -> str:
    """The time of the day in full seconds, behind its day unless that is `day`."""
    text = _iso(timestamp_ms)[:19].replace("T", " ")
    return text.removeprefix(f"{day} ")
