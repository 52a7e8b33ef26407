"""Cameras that come, change and go while the agent runs, and how their file is looked at."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from infra.process import camera_metrics, metrics
from infra.process.lifecycle import Stop
from infra.settings import CameraSettings
from ingest.camera.buffer import FINITE_HELD, FrameBuffer
from ingest.camera.cameras_file import CamerasFile
from ingest.camera.fleet import Change, Fleet, change_between
from ingest.camera.spec import CameraSpec, load_cameras
from tests.support.cameras import spec_of


class FakeFeed(threading.Thread):
    """A feed that does nothing until it is stopped."""

    def __init__(self, spec: CameraSpec, stop: Stop, after: "FakeFeed | None") -> None:
        super().__init__(daemon=True)
        self.spec, self.stop, self.after = spec, stop, after

    def run(self) -> None:
        if self.after is not None:
            self.after.join()
        self.stop.wait()


def camera(name: str, fps: float = 5.0) -> CameraSpec:
    return spec_of("sim:coffee", fps, id=name)


def until(condition: Any) -> None:
    until_s = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_unchanged_cameras_are_not_touched_and_a_changed_one_follows_its_former() -> None:
    stop, buffer = Stop(), FrameBuffer[bytes](100, 2)
    fleet = Fleet(FakeFeed, buffer, stop)  # type: ignore[arg-type]
    with fleet:
        fleet.apply([camera("a"), camera("b"), camera("c")])
        a, b, c = fleet
        assert fleet.apply([camera("d"), camera("b", 2.0), camera("a")]) == Change(("d",), ("b",), ("c",))
        d, other_b, same_a = fleet
        assert (d.spec.source_id, other_b.after, same_a) == ("d", b, a)  # type: ignore[attr-defined]
        until(lambda: not b.is_alive() and not c.is_alive())
        assert a.is_alive()
        assert other_b.is_alive(), "at no time does nobody capture"
        until(lambda: list(buffer.held_frames()) == ["a", "b", "d"])
    assert not any(feed.is_alive() for feed in (d, other_b, same_a))


def test_a_stop_ends_all_and_the_error_of_one_feed_is_that_of_the_agent() -> None:
    stop = Stop()
    with Fleet(FakeFeed, FrameBuffer[bytes](100, 2), stop) as fleet:  # type: ignore[arg-type]
        fleet.apply([camera("a"), camera("b")])
        a, b = fleet
        a.stop.set(RuntimeError("a defect"))  # type: ignore[attr-defined]
        until(lambda: not a.is_alive() and not b.is_alive())
    with pytest.raises(RuntimeError, match="a defect"):
        stop.raise_error()


def test_frames_of_a_removed_camera_are_still_sent_and_a_file_that_waits_for_room_ends() -> None:
    buffer = FrameBuffer[int](100, 2)
    buffer.add_source("file", live=False)
    for number in range(FINITE_HELD):
        buffer.put("file", number, 1)
    waiting = threading.Thread(target=buffer.put, args=("file", FINITE_HELD, 1))
    waiting.start()
    buffer.remove_source("file")
    waiting.join(2)
    assert not waiting.is_alive()
    assert [buffer.take(0) for _ in range(FINITE_HELD + 2)] == [*range(FINITE_HELD + 1), None]
    assert buffer.held_frames() == {}


def test_what_of_a_folder_is_left_out_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    before = spec_of(str(tmp_path))
    (tmp_path / "notes.txt").write_text("")
    assert change_between([before], [spec_of(str(tmp_path))]) == Change()


GOOD = '[[camera]]\nid = "a"\nsource = "sim:coffee"\n'
MORE = GOOD + '[[camera]]\nid = "b"\nsource = "sim:cat"\nfps = 2\n'


def watched(file: Path) -> CamerasFile:
    return CamerasFile(file, lambda: load_cameras(file, CameraSettings(), {}))


@pytest.mark.parametrize("way", ["in place", "renamed", "another target"])
def test_an_edit_is_taken_once_it_rests(tmp_path: Path, way: str) -> None:
    file, other = tmp_path / "cameras.toml", tmp_path / "other.toml"
    if way == "another target":
        (tmp_path / "first.toml").write_text(GOOD)
        file.symlink_to("first.toml")
    else:
        file.write_text(GOOD)
    looks = watched(file)
    assert looks.look() is None
    if way == "in place":
        file.write_text(MORE[:60])  # half of it
        assert looks.look() is None
        file.write_text(MORE)
    elif way == "renamed":
        other.write_text(MORE)
        other.replace(file)
    else:
        other.write_text(MORE)
        (tmp_path / "link").symlink_to("other.toml")
        (tmp_path / "link").replace(file)
    assert looks.look() is None, "it has to rest"
    specs = looks.look()
    assert specs is not None
    assert [spec.source_id for spec in specs] == ["a", "b"]
    assert looks.look() is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (MORE.replace("fps = 2", "fps = -2"), "line 4: camera b: fps must be a number above 0"),
        (MORE.replace("fps = 2", "fsp = 2"), "line 4: camera b: fsp is not a key of a camera"),
        (MORE.replace("= 2", "= ="), "line 7"),
        (GOOD + GOOD, "2 cameras have the id a"),
        ("", "there is no [[camera]] table"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_edit_changes_nothing_and_is_told_once_with_its_place(
    tmp_path: Path, text: str | None, why: str
) -> None:
    file = tmp_path / "cameras.toml"
    file.write_text(GOOD)
    looks = watched(file)
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with capture_logs() as lines:
        assert [looks.look() for _ in range(5)] == [None] * 5
    [line] = lines
    assert why in line["why"]
    file.write_text(GOOD)
    looks.look()
    assert looks.look() is not None, "right again"


def test_a_removed_camera_has_no_series_any_more() -> None:
    camera_metrics.CAMERA_UP.set("gone", 1)
    metrics.FRAMES_DROPPED.labels(metrics.SOURCE_LABEL("gone"), "buffer_full").inc(2)
    camera_metrics.forget_source("gone")
    camera_metrics.forget_source("never there")
    names = {sample.labels.get("source_id") for family in REGISTRY.collect() for sample in family.samples}
    assert "gone" not in names
