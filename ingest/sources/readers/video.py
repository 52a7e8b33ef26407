"""Streams, video files and local cameras, through OpenCV and its FFmpeg."""

import os
import time

import cv2
import numpy as np

from ingest.sources.readers.base import CapturedImage, Pace, SourceFault
from ingest.sources.sampling import sane_rate
from ingest.sources.task import CaptureTask

OPTIONS_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
# More threads only add latency and memory: each camera has a process of its own.
DECODE_THREADS = 2
# OpenCV answers a damaged packet as it answers the end of a file; at the end a further try fails within microseconds.
MAX_DAMAGED = 1_000
# A failed call that took this share of its time-out got no answer at all, rather than a damaged packet.
SILENT_SHARE = 0.9


def ffmpeg_options(given: str) -> str:
    """The given options for FFmpeg (`key;value|key;value`) and ours: any value replaces OpenCV's default, TCP."""
    options = [option for option in given.split("|") if option]
    names = {option.partition(";")[0] for option in options}
    # RTSP over UDP loses packets silently and gives grey images; packets that are known to be broken are not decoded.
    wanted = {"rtsp_transport": "tcp", "fflags": "discardcorrupt"}
    return "|".join(options + [f"{name};{value}" for name, value in wanted.items() if name not in names])


def _open_ffmpeg(task: CaptureTask) -> cv2.VideoCapture:
    """Time-outs work only with an explicit backend, and only when given at opening (OpenCV issue 23207)."""
    os.environ[OPTIONS_VARIABLE] = ffmpeg_options(os.environ.get(OPTIONS_VARIABLE, ""))
    parameters = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, task.open_timeout_ms]
    parameters += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, task.read_timeout_ms]
    parameters += [cv2.CAP_PROP_N_THREADS, DECODE_THREADS]
    capture = cv2.VideoCapture(task.address, cv2.CAP_FFMPEG, parameters)
    if not capture.isOpened():
        raise SourceFault("it does not open")
    return capture


def open_stream(task: CaptureTask) -> "VideoStream":
    return VideoStream(_open_ffmpeg(task), task.read_timeout_ms)


def open_usb(task: CaptureTask) -> "VideoStream":
    capture = cv2.VideoCapture(int(task.address), cv2.CAP_V4L2)
    if not capture.isOpened():
        raise SourceFault(f"there is no camera /dev/video{task.address}, or it is in use")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return VideoStream(capture, task.read_timeout_ms)


class VideoStream:
    """The frames of a camera as they come; a stream that ends is a fault."""

    paced = False
    skipped = 0
    replaced = 0

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

    def retrieve(self) -> CapturedImage | None:
        return retrieve_pixels(self._capture)


class VideoFile:
    """A video at its own pace, sampled by its own time stamps: the same frames on every run."""

    paced = False
    skipped = 0
    replaced = 0

    def __init__(self, task: CaptureTask) -> None:
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
        """Decodes and passes over the frames that earlier processes delivered: seeking lands on key frames only."""
        while self._advance():
            media_s = self._media_s()
            if not self._to_skip:
                self._pace.wait_until(media_s)
                return media_s
            self._to_skip -= 1
            self.skipped += 1
        return None

    def retrieve(self) -> CapturedImage | None:
        return retrieve_pixels(self._capture)

    def _advance(self) -> bool:
        """Go to the next frame; after the last one of a looped file, to the first one again."""
        damaged = grab_sound(self._capture, self._task.read_timeout_ms / 1000)
        if damaged is not None:
            self._read_in_round += 1
            self.damaged += 0 if self._to_skip else damaged  # an earlier process counted those
            return True
        if not self._read_in_round:
            raise SourceFault("it has no frame that can be decoded")
        if not self._task.loop:
            return False
        self._to_skip %= self._read_in_round  # whole rounds of the file need not be decoded
        self._reopen()
        return self._advance()

    def _reopen(self) -> None:
        self._capture.release()
        self._capture = _open_ffmpeg(self._task)
        self._round_start_s = self._last_s + 1.0 / self._rate_per_s
        self._read_in_round = 0

    def _media_s(self) -> float:
        """Seconds since the first frame: by the container's time stamps where they advance, else by the frame rate."""
        position_s = self._round_start_s + self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        step_s = 1.0 / self._rate_per_s
        advances = self._last_s < position_s < self._last_s + 10.0 + step_s
        self._last_s = position_s if advances else self._last_s + step_s
        return self._last_s


def grab_sound(capture: cv2.VideoCapture, patience_s: float) -> int | None:
    """Go to the next frame that can be decoded; returns how many damaged packets were passed over, None at the end.

    It stops trying after `patience_s` seconds.
    """
    until_s = time.monotonic() + patience_s
    for damaged in range(MAX_DAMAGED + 1):
        if capture.grab():
            return damaged
        if time.monotonic() >= until_s:
            break
    return None


def retrieve_pixels(capture: cv2.VideoCapture) -> CapturedImage | None:
    """The grabbed frame in colour; None where the decoder has none."""
    found, pixels = capture.retrieve()
    if not found or pixels is None or pixels.size == 0:
        return None
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    return CapturedImage(pixels=np.ascontiguousarray(pixels, np.uint8))
