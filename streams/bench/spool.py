"""The spool of a producer: frames to disk and back, beside what the disk does with the same bytes in one file."""

import os
import statistics
import tempfile
import time
from pathlib import Path

from infra.settings import KIB, MIB, home
from ingest.publish.frame import ReadyFrame
from ingest.publish.spool.disk_queue import DiskQueue, Limits
from ingest.publish.spool.spooler import SYNC_EVERY_S
from streams.bench.report import Options, Report

GOAL = 0.5
FRAME_BYTES, TOTAL_BYTES = 60 * KIB, 256 * MIB
CAMERAS = 30
_UNLIMITED = Limits(1 << 40, 1 << 60)


def bench_spool(options: Options) -> Report:
    """The spool alone."""
    report = Report("spool")
    measure_spool(report, options.repeats)
    return report


def measure_spool(report: Report, repeats: int, total_bytes: int = TOTAL_BYTES) -> None:
    """Add the ratios `spool_of_disk` and `spool_read_of_disk`: bytes a second of the spool over those of the disk.

    Both write 60 KiB at a time, sync every second and at the end, and read what is no longer in memory. The folder is
    in the state folder, where a spool is.
    """
    pictures = [os.urandom(FRAME_BYTES) for _ in range(CAMERAS)]
    frames = [_frame(number, pictures[number % CAMERAS]) for number in range(total_bytes // FRAME_BYTES)]
    disk, spool = [], []
    home().mkdir(parents=True, exist_ok=True)
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(dir=home(), prefix="bench-spool-") as folder:
            disk.append(_disk(Path(folder) / "plain", frames))
            spool.append(_spool(Path(folder), frames))
    written, read = ([one[at] for one in disk] for at in (0, 1))
    spooled, drained = ([one[at] for one in spool] for at in (0, 1))
    report.ratio("spool_of_disk", statistics.median(map(_over, spooled, written)), ">=", GOAL)
    report.ratio("spool_read_of_disk", statistics.median(map(_over, drained, read)), ">=", GOAL)
    names = ("disk_write_mb_per_s", "spool_write_mb_per_s", "disk_read_mb_per_s", "spool_read_mb_per_s")
    for name, rates in zip(names, (written, spooled, read, drained), strict=True):
        report.figures[name] = [round(rate / 1e6) for rate in rates]


def _frame(number: int, picture: bytes) -> ReadyFrame:
    camera = f"cam-{number % CAMERAS}"
    return ReadyFrame(camera, f"{camera}/1700000000000/{number // CAMERAS}", number, None, picture)


def _over(mine: float, bare: float) -> float:
    return mine / bare


def _disk(file: Path, frames: list[ReadyFrame]) -> tuple[float, float]:
    """Bytes a second that one file takes, and gives back."""
    begun_s = synced_s = time.perf_counter()
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    for frame in frames:
        os.write(descriptor, frame.value)
        if time.perf_counter() - synced_s > SYNC_EVERY_S:
            os.fdatasync(descriptor)
            synced_s = time.perf_counter()
    os.fdatasync(descriptor)
    written_s = time.perf_counter() - begun_s
    _forget(file)
    os.lseek(descriptor, 0, os.SEEK_SET)
    begun_s = time.perf_counter()
    while os.read(descriptor, FRAME_BYTES):
        pass
    read_s = time.perf_counter() - begun_s
    os.close(descriptor)
    file.unlink()
    return _rates(frames, written_s, read_s)


def _spool(folder: Path, frames: list[ReadyFrame]) -> tuple[float, float]:
    """Bytes a second that the spool takes, and gives back camera by camera in turn, each frame delivered at once."""
    queue = DiskQueue(folder, _UNLIMITED, lambda *_: None)
    begun_s = synced_s = time.perf_counter()
    for frame in frames:
        queue.append(frame, 0)
        if time.perf_counter() - synced_s > SYNC_EVERY_S:
            queue.sync()
            synced_s = time.perf_counter()
    queue.sync()
    written_s = time.perf_counter() - begun_s
    for segment in folder.glob("*.spool"):
        _forget(segment)
    begun_s = time.perf_counter()
    while sources := queue.waiting():
        for source_id in sources:
            entry = queue.head(source_id)
            assert entry is not None
            assert queue.read(entry) is not None, "nothing was harmed"
            queue.sent(entry)
            queue.done(entry)
    queue.sync()
    read_s = time.perf_counter() - begun_s
    queue.close()
    return _rates(frames, written_s, read_s)


def _forget(file: Path) -> None:
    """Let the next read of a file come from the disk."""
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _rates(frames: list[ReadyFrame], written_s: float, read_s: float) -> tuple[float, float]:
    total_bytes = sum(len(frame.value) for frame in frames)
    return total_bytes / written_s, total_bytes / read_s
