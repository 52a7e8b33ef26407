"""The contract suite with the JSON lines sink."""

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given

from infra.settings import JsonlSettings
from schemas.coordinates import Coordinates
from sinks.base.contract import Sink
from sinks.jsonl.disk import Disk
from sinks.jsonl.sink import JsonlSink
from tests.support.sink_contract import SinkContract
from tests.support.sink_histories import STEPS, Step


class FullDisk(Disk):
    """A disk that can be full. Nothing is really synced, which would take too long."""

    is_full = False

    def sync(self, descriptor: int) -> None:
        pass

    def write(self, descriptor: int, data: bytes) -> None:
        if self.is_full:
            super().write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(descriptor, data)


def stored_in(folder: Path) -> list[Coordinates]:
    """The labels of the closed files, and of the flushed part of the unclosed files according to the manifest."""
    lines: list[str] = []
    for path in folder.glob("day=*/hour=*/*.jsonl"):
        lines += path.read_text().splitlines()
    manifest = folder / ".sightline-sink" / "manifest.json"
    for path, length, _ in json.loads(manifest.read_text())["files"] if manifest.exists() else []:
        part = folder / f"{path}.part"
        if part.exists():
            lines += part.read_bytes()[:length].decode().splitlines()
    found = [json.loads(line) for line in lines]
    return [Coordinates(one["topic"], one["partition"], one["offset"]) for one in found]


class TestJsonlSink(SinkContract):
    home: Path

    @pytest.fixture(autouse=True)
    def _home(self, tmp_path: Path) -> None:
        TestJsonlSink.home = tmp_path

    def reset(self) -> None:
        self.folder, self.disk = Path(tempfile.mkdtemp(dir=self.home)), FullDisk()

    def open(self) -> Sink:
        return JsonlSink(self.folder, JsonlSettings(max_file_bytes=2_000), disk=self.disk)

    def kill(self, sink: Sink) -> None:
        assert isinstance(sink, JsonlSink)
        if sink.lock is not None:
            os.close(sink.lock)

    def stored(self) -> list[Coordinates]:
        return stored_in(self.folder)

    def set_busy(self, is_busy: bool) -> None:
        self.disk.is_full = is_busy

    @given(STEPS)
    def test_whatever_happens_each_label_is_stored_once(self, steps: list[Step]) -> None:
        self.each_label_is_stored_once(steps)
