"""Streams, video files and local cameras, through OpenCV and its FFmpeg."""

import os
import time

import cv2
import numpy as np

from ingest.capture.wire import Task
from ingest.sources.readers.base import Pace, Picture, SourceFault
from ingest.sources.sampling import sane_rate

OPTIONS_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
# More only add latency and memory: a camera a process is parallel enough.
DECODE_THREADS = 2
# OpenCV answers a damaged packet as it does the end; there each further try fails within microseconds.
MAX_DAMAGED = 1_000
# A call that waited for so much of its time-out was not answered at all.
SILENT_SHARE = 0.9


def ffmpeg_options(given: str) -> str:
    """The options for FFmpeg, `key;value|key;value`: setting any replaces OpenCV's default, so TCP is always named."""
    options = [option for option in given.split("|") if option]
    names = {option.partition(";")[0] for option in options}
    # RTSP over UDP loses packets silently and gives grey pictures; packets known to be broken are not decoded.
    wanted = {"rtsp_transport": "tcp", "fflags": "discardcorrupt"}
    return "|".join(options + [f"{name};{value}" for name, value in wanted.items() if name not in names])


def _open_ffmpeg(task: Task) -> cv2.VideoCapture:
    """Timeouts work only with an explicit backend and given at open (OpenCV issue 23207)."""
    os.environ[OPTIONS_VARIABLE] = ffmpeg_options(os.environ.get(OPTIONS_VARIABLE, ""))
    parameters = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, task.open_timeout_ms]
    parameters += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, task.read_timeout_ms]
    parameters += [cv2.CAP_PROP_N_THREADS, DECODE_THREADS]
    capture = cv2.VideoCapture(task.address, cv2.CAP_FFMPEG, parameters)
    if not capture.isOpened():
        raise SourceFault("it does not open")
    return capture


def open_stream(task: Task) -> "Stream":
    return Stream(_open_ffmpeg(task), task.read_timeout_ms)


def open_usb(task: Task) -> "Stream":
    capture = cv2.VideoCapture(int(task.address), cv2.CAP_V4L2)
    if not capture.isOpened():
        raise SourceFault(f"there is no camera /dev/video{task.address}, or it is in use")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return Stream(capture, task.read_timeout_ms)


class Stream:
    """Frames as they come; the end of a stream is a fault, for a camera has none."""

    paced = False
    skipped = 0

    def __init__(self, capture: cv2.VideoCapture, read_timeout_ms: int) -> None:
        self.damaged = 0
        self._capture, self._read_timeout_ms = capture, read_timeout_ms
        self.expected_per_s = sane_rate(capture.get(cv2.CAP_PROP_FPS))

    def grab(self) -> float | None:
        patience_s = self._read_timeout_ms / 1000 * SILENT_SHARE
        began_s = time.monotonic()
        damaged = grab_sound(self._capture, patience_s)
        now_s = time.monotonic()
        if damaged is None:
            silent = now_s - began_s >= patience_s
            raise SourceFault(f"no frame for {self._read_timeout_ms} ms" if silent else "the stream ended")
        self.damaged += damaged
        return now_s

    def picture(self) -> Picture | None:
        return retrieve(self._capture)


class VideoFile:
    """A video at its own pace, sampled by its own clock: the same frames on every run."""

    paced = False
    skipped = 0

    def __init__(self, task: Task) -> None:
        self.damaged = 0
        self._task = task
        self._capture = _open_ffmpeg(task)
        self._pace = Pace(shifts=True)
        self._rate_per_s = sane_rate(self._capture.get(cv2.CAP_PROP_FPS)) or 25.0
        self.expected_per_s = self._rate_per_s
        self._round_start_s = 0.0
        self._last_s = -1.0
        self._read_in_round = 0
        self._to_skip = task.skip_frames

    def grab(self) -> float | None:
        """Decodes up to where an earlier process was killed: seeking lands on key frames only."""
        while self._advance():
            media_s = self._media_s()
            if not self._to_skip:
                self._pace.wait_until(media_s)
                return media_s
            self._to_skip -= 1
            self.skipped += 1
        return None

    def picture(self) -> Picture | None:
        return retrieve(self._capture)

    def _advance(self) -> bool:
        """To the next frame, which is the first one again after the last of a looped file."""
        damaged = grab_sound(self._capture, self._task.read_timeout_ms / 1000)
        if damaged is not None:
            self._read_in_round += 1
            self.damaged += 0 if self._to_skip else damaged  # an earlier process has counted those
            return True
        if not self._read_in_round:
            raise SourceFault("there is no frame in it that can be decoded")
        if not self._task.loop:
            return False
        self._to_skip %= self._read_in_round  # no whole round is decoded to come back to its beginning
        self._again()
        return self._advance()

    def _again(self) -> None:
        self._capture.release()
        self._capture = _open_ffmpeg(self._task)
        self._round_start_s = self._last_s + 1.0 / self._rate_per_s
        self._read_in_round = 0

    def _media_s(self) -> float:
        """Seconds since the first frame; by the container where its time runs on, else by the frame rate."""
        position_s = self._round_start_s + self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        step_s = 1.0 / self._rate_per_s
        sound = self._last_s < position_s < self._last_s + 10.0 + step_s
        self._last_s = position_s if sound else self._last_s + step_s
        return self._last_s


def grab_sound(capture: cv2.VideoCapture, patience_s: float) -> int | None:
    """To the next frame that can be decoded: how many damaged ones were passed over, or None where no more comes.

    No try begins after `patience_s` seconds.
    """
    until_s = time.monotonic() + patience_s
    for damaged in range(MAX_DAMAGED + 1):
        if capture.grab():
            return damaged
        if time.monotonic() >= until_s:
            break
    return None


def retrieve(capture: cv2.VideoCapture) -> Picture | None:
    """The grabbed frame in colour; None where the decoder has none to give."""
    found, pixels = capture.retrieve()
    if not found or pixels is None or pixels.size == 0:
        return None
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    return Picture(pixels=np.ascontiguousarray(pixels, np.uint8))
