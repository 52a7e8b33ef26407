"""One source from its opening to its end, in the two threads that a capture process has for it.

The reader thread grabs frames and puts those to publish into a queue; the other one encodes them and writes messages.
"""

import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import simplejpeg

from ingest.capture.pictures import StillScene, fitted, is_smeared
from ingest.capture.wire import CaptureMessage, MessageKind, write_message
from ingest.sources.files import encoding_of
from ingest.sources.readers.base import CapturedImage, FrameReader, ImageRefused, PictureMissed, SourceFault
from ingest.sources.readers.open import open_reader
from ingest.sources.sampling import Sampler
from ingest.sources.task import CaptureTask

STATS_PERIOD_S = 1.0
QUEUED_FRAMES = 2
WAIT_S = 0.25


@dataclass(frozen=True, slots=True)
class GrabbedFrame:
    """What the reader hands to the encoder: frame number `index` of the source (from 1), as an image or as refused."""

    index: int
    captured_at: int
    content: CapturedImage | ImageRefused


class EncodeQueue:
    """The queue between reader and encoder. When it is full, a live source replaces a frame; a finite one waits."""

    def __init__(self, live: bool) -> None:
        self._live, self._is_closed = live, False
        self._queue: queue.Queue[GrabbedFrame] = queue.Queue(maxsize=1 if live else QUEUED_FRAMES)

    def put(self, frame: GrabbedFrame) -> int:
        """Put one frame in; returns how many older ones it replaced."""
        replaced = 0
        while True:
            try:
                self._queue.put(frame, block=not self._live, timeout=WAIT_S)
                return replaced
            except queue.Full:
                if self._is_closed:
                    return replaced
                if not self._live:
                    continue
                try:
                    self._queue.get_nowait()
                    replaced += 1
                except queue.Empty:
                    pass  # the encoder took it in the meantime: there is room now

    def close(self) -> None:
        """Nobody takes any more: `put` does not wait."""
        self._is_closed = True

    def take(self, timeout_s: float) -> GrabbedFrame | None:
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None


class Capture:
    """Reads one source, from opening it to its end."""

    def __init__(self, task: CaptureTask, out_fd: int) -> None:
        self._task, self._out_fd = task, out_fd
        self._queue, self._live = EncodeQueue(live=True), True
        self._sampler = Sampler(task.fps)
        self._captured = self._replaced = 0
        self._dropped = Counter({"rate_limit": 0, "buffer_full": 0, "corrupt": 0})
        self._still = StillScene(task.skip_unchanged_ms / 1000)
        # The reader thread puts each miss here, and the main thread tells the newest one.
        self._missed: PictureMissed | None = None
        self._fault: BaseException | None = None
        self._is_over = False

    def run(self) -> None:
        """Read until the source ends or fails, and tell the agent which.

        Raises BrokenPipeError when the agent wants no more of it, and whatever is a defect.
        """
        try:
            self._run()
        finally:
            self._is_over = True
            self._queue.close()

    def _run(self) -> None:
        try:
            reader = open_reader(self._task)
        except SourceFault as fault:
            self._tell_fault(fault)
            return
        self._live = reader.live
        self._queue = EncodeQueue(reader.live)
        opened = {"expected_per_s": reader.expected_per_s, "live": reader.live, "patience_s": reader.patience_s}
        self._tell(MessageKind.OPENED, opened)
        reading = threading.Thread(target=self._read, args=(reader,), name="reader", daemon=True)
        reading.start()
        self._encode_until_end(reader, reading)
        self._tell_stats(reader)
        if self._fault is None:
            self._tell(MessageKind.ENDED, {})
        elif isinstance(self._fault, SourceFault):
            self._tell_fault(self._fault)
        else:
            raise self._fault

    def _read(self, reader: FrameReader) -> None:
        try:
            while not self._is_over and (at_s := reader.grab()) is not None:
                captured_at = time.time_ns() // 1000
                new = 1 + reader.replaced - self._replaced
                self._replaced = reader.replaced
                if not reader.paced and not self._sampler.take(at_s):
                    self._captured += new
                    self._dropped["rate_limit"] += 1
                    continue
                try:
                    content = _content(reader)
                except PictureMissed as missed:  # nothing was captured
                    self._dropped[missed.reason] += 1
                    self._missed = missed
                    continue
                self._captured += new
                if content is None:
                    self._dropped["corrupt"] += 1
                else:
                    self._dropped["buffer_full"] += self._queue.put(GrabbedFrame(self._captured, captured_at, content))
        except BaseException as error:  # noqa: BLE001 - the main thread reports it to the agent or raises it
            self._fault = error

    def _encode_until_end(self, reader: FrameReader, reading: threading.Thread) -> None:
        stats_due_s = 0.0
        while True:
            alive = reading.is_alive()  # asked before the queue: the last frame of the reader is still taken
            frame = self._queue.take(STATS_PERIOD_S / 4)
            missed, self._missed = self._missed, None
            if missed is not None:
                self._tell(MessageKind.MISSED, {"reason": missed.reason, "why": missed.why})
            if frame is not None:
                self._send(frame)
            elif not alive:
                return
            if time.monotonic() >= stats_due_s:
                self._tell_stats(reader)
                stats_due_s = time.monotonic() + STATS_PERIOD_S

    def _send(self, frame: GrabbedFrame) -> None:
        """Encode the image where it is pixels, check its size, write it."""
        if isinstance(frame.content, ImageRefused):
            self._refuse(frame.index, frame.content)
            return
        image = frame.content
        data, pixels = image.data, image.pixels
        if self._live and pixels is not None and is_smeared(pixels):  # no network loses packets of a file
            self._dropped["corrupt"] += 1
            return
        if self._still.skips(pixels, data, time.monotonic()):
            self._dropped["unchanged"] += 1
            return
        if pixels is not None:
            data = simplejpeg.encode_jpeg(fitted(pixels, self._task.max_side), self._task.jpeg_quality, "BGR", "420")
        if len(data) > self._task.max_image_bytes:
            detail = f"{len(data)} bytes, the limit is {self._task.max_image_bytes}"
            self._refuse(frame.index, ImageRefused("too_large", image.name or "a frame", detail))
            return
        meta = {
            "index": frame.index,
            "captured_at": frame.captured_at,
            "encoding": encoding_of(data),
            "name": image.name,
        }
        self._tell(MessageKind.FRAME, meta, data)

    def _refuse(self, index: int, refused: ImageRefused) -> None:
        meta = {"index": index, "reason": refused.reason, "name": refused.name, "detail": refused.detail}
        self._tell(MessageKind.REFUSED, meta)

    def _tell_fault(self, fault: SourceFault) -> None:
        self._tell(MessageKind.FAILED, {"why": str(fault), "wait_s": fault.wait_s})

    def _tell_stats(self, reader: FrameReader) -> None:
        replaced = self._dropped["buffer_full"] + self._replaced
        dropped = {**self._dropped.copy(), "buffer_full": replaced, "damaged": reader.damaged}
        counts = {"captured": self._captured, "skipped": reader.skipped, "dropped": dropped, "jumps": reader.jumps}
        self._tell(MessageKind.STATS, counts)

    def _tell(self, kind: MessageKind, meta: dict[str, Any], body: bytes = b"") -> None:
        write_message(self._out_fd, CaptureMessage(kind, meta, body))


def _content(reader: FrameReader) -> CapturedImage | ImageRefused | None:
    try:
        return reader.retrieve()
    except ImageRefused as refused:
        return refused
