"""The JSON lines sink stores each label once, despite kills at any disk call and power cuts that drop unsynced data."""

import errno
import json
import os
from pathlib import Path

import pytest

from infra.settings import JsonlSettings
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import ConfigError, SinkError
from sinks.base.contract import Row
from sinks.jsonl.disk import Disk
from sinks.jsonl.sink import JsonlSink
from tests.support.sink_records import a_label
from tests.support.sink_target import Killed
from tests.unit.sinks.jsonl.test_contract import stored_in

PART = TopicPartition("labels", 0)
HOUR_US = 3_600_000_000
SETTINGS = JsonlSettings(max_file_bytes=1_500, max_file_age_s=10, max_open_files=2)
SMALLEST_ERRORS = [errno.EIO, errno.ENOSPC, errno.EROFS]


class FailingDisk(Disk):
    """At the nth call that changes something, `error` is raised. Nothing is really synced, which would take too long.

    A power cut drops the bytes that were written to files and not synced.
    """

    def __init__(self, nth: int, error: BaseException) -> None:
        self.left, self.error = nth, error
        self.calls = 0
        self._synced: dict[Path, int] = {}

    def write(self, descriptor: int, data: bytes) -> None:
        super().write(descriptor, data[: len(data) // 2])
        self._step()
        super().write(descriptor, data[len(data) // 2 :])

    def sync(self, descriptor: int) -> None:
        self._step()
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_file():
            self._synced[path] = path.stat().st_size

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        self._synced[new] = self._synced.pop(old, 0)
        super().rename(old, new)

    def _step(self) -> None:
        self.calls += 1
        self.left -= 1
        if self.left == 0:
            raise self.error

    def cut_power(self, folder: Path) -> None:
        for path in folder.rglob("*"):
            if path.is_file() and path.name != "lock":
                os.truncate(path, min(path.stat().st_size, self._synced.get(path, 0)))


class QuickDisk(Disk):
    def sync(self, descriptor: int) -> None:
        pass


def row(offset: int) -> Row:
    """A label; consecutive offsets belong to three hours in turn."""
    label = a_label(Coordinates("frames.raw", 0, offset), frame_id=f"f/{offset}", captured_at=offset % 3 * HOUR_US)
    return Row(label, Coordinates("labels", 0, offset))


class Session:
    """Flushes a few labels at a time, as the loop does, from the position of the sink on."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.now_s = 0.0
        self.sink = JsonlSink(folder, SETTINGS, disk=disk, clock=lambda: self.now_s)

    def run(self, end: int) -> None:
        self.sink.setup("log")
        offset = self.sink.positions([PART]).get(PART, 0)
        while offset < end:
            behind = min(offset + 4, end)
            for one in range(offset, behind):
                self.sink.add(row(one))
            self.sink.flush({PART: behind})
            offset = behind
            self.now_s += 4
            self.sink.flush({})
        self.sink.close()

    def die(self) -> None:
        if self.sink.lock is not None:
            os.close(self.sink.lock)


def calls_of_a_whole_run(folder: Path) -> int:
    disk = FailingDisk(0, Killed())
    Session(folder, disk).run(24)
    return disk.calls


@pytest.mark.parametrize("power_cut", [False, True])
def test_killed_at_every_call_of_the_disk_each_label_is_there_once(tmp_path: Path, power_cut: bool) -> None:
    calls = calls_of_a_whole_run(tmp_path / "whole")
    assert calls > 100
    for nth in range(1, calls + 1):
        folder = tmp_path / str(nth)
        disk = FailingDisk(nth, Killed())
        session = Session(folder, disk)
        with pytest.raises(Killed):
            session.run(24)
        session.die()
        if power_cut:
            disk.cut_power(folder)
        Session(folder, QuickDisk()).run(24)
        assert [place.offset for place in sorted(stored_in(folder), key=lambda one: one.offset)] == list(range(24)), nth
        assert not list(folder.rglob("*.part")), nth


@pytest.mark.parametrize("number", SMALLEST_ERRORS)
def test_an_error_at_every_call_of_the_disk_costs_no_label(tmp_path: Path, number: int) -> None:
    """After Busy and after SinkError alike, the next attempt stores each label exactly once."""
    for nth in range(1, calls_of_a_whole_run(tmp_path / "whole") + 1):
        folder = tmp_path / str(nth)
        session = Session(folder, FailingDisk(nth, OSError(number, os.strerror(number))))
        with pytest.raises((SinkError, ConfigError) if number != errno.ENOSPC else Exception):
            session.run(24)
        session.die()
        Session(folder, QuickDisk()).run(24)
        assert [place.offset for place in sorted(stored_in(folder), key=lambda one: one.offset)] == list(range(24)), nth


def test_files_are_closed_by_size_by_age_and_where_too_many_hours_are_open(tmp_path: Path) -> None:
    session = Session(tmp_path, Disk())
    sink = session.sink
    sink.setup("log")
    for one in range(3):
        sink.add(row(one))
    sink.flush({PART: 3})
    assert len(list(tmp_path.rglob("*.jsonl.part"))) == 3
    session.now_s = 1.0
    sink.flush({})
    assert len(list(tmp_path.rglob("*.jsonl.part"))) == 2, "one hour too many"
    session.now_s = 11.0
    sink.flush({})
    assert not list(tmp_path.rglob("*.jsonl.part")), "too old"
    for one in range(3, 12, 3):
        sink.add(row(one))
    sink.flush({PART: 12})
    sink.flush({})
    assert len(list(tmp_path.glob("day=1970-01-01/hour=00/*.jsonl"))) == 2, "too large"
    sink.close()


def test_a_file_that_lost_bytes_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    session = Session(tmp_path, Disk())
    session.sink.setup("log")
    session.sink.add(row(0))
    session.sink.flush({PART: 1})
    session.die()
    (part,) = tmp_path.rglob("*.part")
    os.truncate(part, 10)
    with pytest.raises(ConfigError, match=r"has 10 bytes, but \d+ were flushed"):
        Session(tmp_path, Disk()).run(1)
    assert part.stat().st_size == 10


def test_closed_files_may_be_moved_away_at_any_time(tmp_path: Path) -> None:
    session = Session(tmp_path, Disk())
    session.sink.setup("log")
    session.sink.add(row(0))
    session.sink.flush({PART: 1})
    session.now_s = 11.0
    session.sink.flush({})
    (closed,) = tmp_path.rglob("*.jsonl")
    closed.unlink()
    session.die()
    again = Session(tmp_path, Disk())
    again.run(1)
    assert not list(tmp_path.rglob("*.jsonl"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1}'])
def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / ".sightline-sink").mkdir()
    (tmp_path / ".sightline-sink" / "manifest.json").write_text(text)
    with pytest.raises(ConfigError, match=r"manifest\.json"):
        Session(tmp_path, Disk()).run(1)


def test_captured_at_that_no_calendar_has_goes_to_a_folder_of_its_own(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path, SETTINGS)
    sink.setup("log")
    for offset, captured_at in enumerate((2**62, -(2**62), -1, 0)):
        sink.add(Row(a_label(captured_at=captured_at), Coordinates("labels", 0, offset)))
    sink.flush({PART: 4})
    sink.close()
    counts = {
        str(path.parent.relative_to(tmp_path)): len(path.read_text().splitlines()) for path in tmp_path.rglob("*.jsonl")
    }
    assert counts == {"day=none/hour=none": 2, "day=1969-12-31/hour=23": 1, "day=1970-01-01/hour=00": 1}


def test_a_manifest_lists_what_is_certain(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path, SETTINGS)
    sink.setup("log")
    sink.add(row(0))
    sink.flush({PART: 1})
    told = json.loads((tmp_path / ".sightline-sink" / "manifest.json").read_text())
    assert (told["version"], told["log_id"], told["positions"]) == (1, "log", [["labels", 0, 1]])
    ((path, length, is_closing),) = told["files"]
    assert ((tmp_path / f"{path}.part").stat().st_size, is_closing) == (length, False)
    sink.close()
