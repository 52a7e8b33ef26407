"""Streams, video files and local cameras, through OpenCV and its FFmpeg."""

import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np

from ingest.sources.connection import (
    CERTIFICATE_HINT,
    ConnectionFault,
    bundle_of,
    is_network,
    is_proxy_variable,
    proxy_of,
    tls_context,
    uses_tls,
    with_credentials,
)
from ingest.sources.files import utf8_name
from ingest.sources.readers.base import CapturedImage, Pace, SourceFault
from ingest.sources.sampling import sane_rate
from ingest.sources.task import CaptureTask
from ingest.sources.time_stamps import TimeStamps

OPTIONS_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
GIVEN_OPTIONS = os.environ.get(OPTIONS_VARIABLE, "")
# The environment is changed by one thread at a time, and only once: the sources of a process have the same options.
_ENVIRONMENT = threading.Lock()
# More threads only add latency and memory: each camera has these for itself.
DECODE_THREADS = 2
# OpenCV answers a damaged packet as it answers the end of a file; at the end a further try fails within microseconds.
MAX_DAMAGED = 1_000
# A failed call that took this share of its time-out got no answer at all, rather than a damaged packet.
SILENT_SHARE = 0.9
# Some containers announce the number of their frames by an estimate.
MIN_READ_SHARE = 0.9


def ffmpeg_options(given: str, ours: Mapping[str, str] = MappingProxyType({})) -> str:
    """The given options for FFmpeg (`key;value|key;value`) and ours: any value replaces OpenCV's default, TCP."""
    options = [option for option in given.split("|") if option]
    names = {option.partition(";")[0] for option in options}
    # Packets that are known to be broken are not decoded.
    wanted = {"fflags": "discardcorrupt", **ours}
    return "|".join(options + [f"{name};{value}" for name, value in wanted.items() if name not in names])


def transport_options(transport: str) -> dict[str, str]:
    """How RTP comes. UDP loses packets silently and gives grey images: `auto` asks for it after an answer 461 alone."""
    if transport == "auto":
        return {"rtsp_transport": "tcp+udp", "rtsp_flags": "prefer_tcp"}
    return {"rtsp_transport": transport}


def connection_options(task: CaptureTask, environ: Mapping[str, str]) -> dict[str, str]:
    """The options that say how FFmpeg reaches an address. Raises SourceFault where certificates cannot be used."""
    if not is_network(task.address):
        return {}
    # OpenCV's own option: packets that are no key frames are not decoded.
    only = {"avdiscard": "nonkey"} if task.keyframes_only else {}
    return transport_options(task.connection.rtsp_transport) | _tls_options(task, environ) | only


def _tls_options(task: CaptureTask, environ: Mapping[str, str]) -> dict[str, str]:
    if not uses_tls(task.address):
        return {}
    if not task.connection.tls_verify:
        return {"tls_verify": "0"}
    try:
        tls_context(task.connection, environ)
    except ConnectionFault as fault:
        raise SourceFault(f"its connection {fault}") from fault
    bundle = bundle_of(task.connection, environ)
    return {"tls_verify": "1", **({"ca_file": _escaped(bundle)} if bundle else {})}


def _escaped(value: str) -> str:
    """A value in which the separators of the options do not count."""
    return re.sub(r"([\\';|])", r"\\\1", value)


def _open_ffmpeg(task: CaptureTask, **more: str) -> cv2.VideoCapture:
    """Time-outs work only with an explicit backend, and only when given at opening (OpenCV issue 23207).

    FFmpeg takes its proxy from the environment alone; the sources of this process all have the same one.
    """
    options = connection_options(task, os.environ) | more
    with _ENVIRONMENT:
        set_variable(OPTIONS_VARIABLE, ffmpeg_options(GIVEN_OPTIONS, options))
        use_proxy(task)
    parameters = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, task.open_timeout_ms]
    parameters += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, task.read_timeout_ms]
    parameters += [cv2.CAP_PROP_N_THREADS, DECODE_THREADS]
    address = with_credentials(task.address, task.connection) if is_network(task.address) else task.address
    began_s = time.monotonic()
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, parameters)
    if not capture.isOpened():
        if time.monotonic() - began_s >= task.open_timeout_ms / 1000 * SILENT_SHARE:
            raise SourceFault(f"it does not open in {task.open_timeout_ms} ms (open_timeout_ms)")
        checked = uses_tls(task.address) and task.connection.tls_verify
        raise SourceFault(
            "it does not open" + (f" (its certificate is checked: {CERTIFICATE_HINT})" if checked else "")
        )
    return capture


def use_proxy(task: CaptureTask) -> None:
    """Leave in the environment of this process the one proxy variable that FFmpeg reads, or none."""
    try:
        proxy = proxy_of(task.address, task.connection, os.environ) if is_network(task.address) else ""
    except ConnectionFault as fault:
        raise SourceFault(f"its connection {fault}") from fault
    wanted = {"http_proxy": proxy, "https_proxy": proxy} if proxy else {}
    for name in [name for name in os.environ if is_proxy_variable(name) and name not in wanted]:
        del os.environ[name]
    for name, value in wanted.items():
        set_variable(name, value)


def set_variable(name: str, value: str) -> None:
    """Set a variable of this process where it has another value: C code may read it at any time."""
    if os.environ.get(name) != value:
        os.environ[name] = value


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
    live = True
    skipped = 0
    replaced = 0

    def __init__(self, capture: cv2.VideoCapture, read_timeout_ms: int) -> None:
        self.damaged = self.jumps = 0
        self._stamps = TimeStamps()
        self._capture, self._read_timeout_ms = capture, read_timeout_ms
        self.patience_s = read_timeout_ms / 1000
        self.expected_per_s = sane_rate(capture.get(cv2.CAP_PROP_FPS))

    def grab(self) -> float | None:
        patience_s = self._read_timeout_ms / 1000 * SILENT_SHARE
        began_s = time.monotonic()
        damaged = grab_sound(self._capture, patience_s)
        now_s = time.monotonic()
        if damaged is None:
            silent = now_s - began_s >= patience_s
            raise SourceFault(
                f"no frame for {self._read_timeout_ms} ms (read_timeout_ms)" if silent else "the stream ended"
            )
        self.damaged += damaged
        self.jumps += self._stamps.jumped(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, now_s)
        return now_s

    def retrieve(self) -> CapturedImage | None:
        return retrieve_pixels(self._capture)


def _as_ffmpeg_takes_it(address: str) -> str:
    """A file by its whole path, as `a:b.mp4` would name a protocol; an address of the network unchanged.

    OpenCV crashes on a path that is not UTF-8. Such a file goes by its descriptor, which stays open: this process has
    one source.
    """
    if is_network(address):
        return address
    whole = str(Path(address).absolute())
    if utf8_name(whole) == whole:
        return whole
    try:
        return f"/dev/fd/{os.open(whole, os.O_RDONLY)}"
    except OSError as error:
        raise SourceFault(f"it does not open: {error.strerror}") from error


class VideoFile:
    """A video at its own pace, sampled by its own time stamps: the same frames on every run."""

    paced = False
    live = False
    skipped = 0
    replaced = 0
    jumps = 0

    def __init__(self, task: CaptureTask) -> None:
        self.damaged = 0
        self._task = replace(task, address=_as_ffmpeg_takes_it(task.address))
        self.patience_s = task.read_timeout_ms / 1000
        self._capture = _open_ffmpeg(self._task)
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
        self._check_end()
        if not self._task.loop:
            return False
        self._to_skip %= self._read_in_round  # whole rounds of the file need not be decoded
        self._reopen()
        return self._advance()

    def _check_end(self) -> None:
        """Raises SourceFault where a file that comes over the network was cut off: FFmpeg tells it as an end."""
        announced = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        read = self._read_in_round + self.damaged
        if is_network(self._task.address) and read < announced * MIN_READ_SHARE:
            raise SourceFault(f"it was cut off after {read} of {announced:.0f} frames")

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
