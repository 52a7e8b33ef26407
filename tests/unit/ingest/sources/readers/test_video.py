"""A failed grab is a damaged packet or the end: what the readers make of it, on a capture that follows a script."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest

import ingest.sources.readers.video
from ingest.sources.connection import Connection
from ingest.sources.parse import ReaderKind
from ingest.sources.readers.base import SourceFault
from ingest.sources.readers.video import MAX_DAMAGED, VideoFile, VideoStream, connection_options, ffmpeg_options
from ingest.sources.task import CaptureTask
from tests.support.videos import write_video

TASK = CaptureTask(ReaderKind.VIDEO, "v.mp4", 25.0, False, 90, 1_000, 3_000, 1 << 20)


class Script:
    """As cv2.VideoCapture; each grab does as the script says (`F`rame or `d`amaged), and fails behind its end."""

    def __init__(self, script: str) -> None:
        self._left: Iterator[str] = iter(script)
        self.grabs = 0

    def grab(self) -> bool:
        self.grabs += 1
        return next(self._left, "d") == "F"

    def get(self, key: int) -> float:
        return 100.0 if key == cv2.CAP_PROP_FPS else 0.0

    def release(self) -> None:
        pass


def video_of(monkeypatch: pytest.MonkeyPatch, rounds: Iterable[str], loop: bool = False, skip: int = 0) -> VideoFile:
    captures = iter([Script(script) for script in rounds])
    monkeypatch.setattr(ingest.sources.readers.video, "_open_ffmpeg", lambda _task: next(captures))
    fields = {name: getattr(TASK, name) for name in TASK.__slots__}
    return VideoFile(CaptureTask(**{**fields, "loop": loop, "skip_frames": skip}))


def count(video: VideoFile, at_most: int = 100) -> int:
    return sum(video.grab() is not None for _ in range(at_most))


def test_damaged_packets_are_passed_over_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    video = video_of(monkeypatch, ["dFFdddFFdF"])
    assert (count(video), video.damaged) == (5, 5)


def test_the_way_to_where_an_earlier_process_was_counts_none_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    video = video_of(monkeypatch, ["FdFdF"], skip=2)
    assert (count(video), video.skipped, video.damaged) == (1, 2, 1)


def test_a_looped_file_starts_over_behind_what_is_damaged_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    video = video_of(monkeypatch, repeat("FdFdd", 6), loop=True)
    assert count(video, at_most=10) == 10


@pytest.mark.parametrize("loop", [False, True])
def test_a_file_without_a_frame_is_a_fault(monkeypatch: pytest.MonkeyPatch, loop: bool) -> None:
    with pytest.raises(SourceFault, match="no frame"):
        video_of(monkeypatch, [""], loop).grab()


def test_a_damaged_packet_costs_a_stream_no_reconnect() -> None:
    capture = Script("FdddF")
    stream = VideoStream(capture, 3_000)  # type: ignore[arg-type]
    stream.grab()
    stream.grab()
    assert stream.damaged == 3
    with pytest.raises(SourceFault, match="the stream ended"):
        stream.grab()
    assert capture.grabs == 5 + 1 + MAX_DAMAGED


def test_a_silent_stream_is_not_waited_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = iter([0.0, 0.0, 3.0, 3.0])
    monkeypatch.setattr(ingest.sources.readers.video, "time", SimpleNamespace(monotonic=lambda: next(now_s)))
    capture = Script("dF")
    with pytest.raises(SourceFault, match="no frame for 3000 ms"):
        VideoStream(capture, 3_000).grab()  # type: ignore[arg-type]
    assert capture.grabs == 1


@pytest.mark.parametrize(
    ("transport", "options"),
    [
        ("auto", {"rtsp_transport": "tcp+udp", "rtsp_flags": "prefer_tcp"}),
        ("tcp", {"rtsp_transport": "tcp"}),
        ("udp", {"rtsp_transport": "udp"}),
    ],
)
def test_how_rtp_comes(transport: str, options: dict[str, str]) -> None:
    task = replace(TASK, address="rtsp://cam/1", connection=Connection(rtsp_transport=transport))
    assert connection_options(task, {}) == options
    assert connection_options(replace(task, address="v.mp4"), {}) == {}
    given = ffmpeg_options("rtsp_transport;udp_multicast", options)
    assert given.startswith("rtsp_transport;udp_multicast|")
    assert given.count("rtsp_transport") == 1


@pytest.mark.parametrize("name", ["a:b.mp4", "%03d.mp4", "Zoë 茶, 'c' \\d.mp4", os.fsdecode(b"f\xfcr.mp4")])
def test_a_file_is_opened_whatever_its_name_is_and_again_when_it_loops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """By a relative path, in which a colon would make a protocol of what stands before it."""
    write_video(tmp_path / "clip.avi", frames=5, per_s=100.0).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    fields = {each: getattr(TASK, each) for each in TASK.__slots__}
    video = VideoFile(CaptureTask(**{**fields, "address": name, "loop": True}))
    assert count(video, at_most=12) == 12
