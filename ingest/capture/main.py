"""The capture process of one camera: `python -m ingest.capture.main`, its Task on stdin, Messages on stdout.

OpenCV and FFmpeg live here and nowhere else in the agent: they can hang in a call that nothing interrupts, and
abort the process on a broken file. The reader thread only grabs, and puts what is to be published into a slot;
the main thread encodes and writes. Ends with its agent: on the end of stdin, and by PR_SET_PDEATHSIG.
"""

import os
import queue
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, NoReturn

import simplejpeg

from infra.process.children import die_with_parent
from ingest.capture.wire import Message, Task, Tell, write
from ingest.sources.parse import Kind, encoding_of
from ingest.sources.readers.base import FrameReader, Picture, Refused, SourceFault
from ingest.sources.readers.open import open_reader
from ingest.sources.sampling import Sampler

STATS_PERIOD_S = 1.0
HELD_PICTURES = 2


@dataclass(frozen=True, slots=True)
class Item:
    """What the reader hands to the encoder: the source's frame number `index` (from 1), as a picture or as refused."""

    index: int
    captured_at: int
    content: Picture | Refused


class Slots:
    """Pictures between reader and encoder: a live source replaces the oldest, a finite one waits."""

    def __init__(self, live: bool) -> None:
        self._live = live
        self._queue: queue.Queue[Item] = queue.Queue(maxsize=1 if live else HELD_PICTURES)

    def put(self, item: Item) -> int:
        """Hand on; how many older ones were thrown away for it."""
        replaced = 0
        while True:
            try:
                self._queue.put(item, block=not self._live)
                return replaced
            except queue.Full:
                try:
                    self._queue.get_nowait()
                    replaced += 1
                except queue.Empty:
                    pass  # the encoder was faster: there is room now

    def take(self, timeout_s: float) -> Item | None:
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None


class Capture:
    """One source, from opening to its end."""

    def __init__(self, task: Task, out_fd: int) -> None:
        self._task, self._out_fd = task, out_fd
        self._slots = Slots(live=Kind(task.kind) not in (Kind.VIDEO, Kind.IMAGES))
        self._sampler = Sampler(task.fps)
        self._captured = 0
        self._dropped = {"rate_limit": 0, "buffer_full": 0, "corrupt": 0}
        self._fault: BaseException | None = None

    def run(self) -> None:
        """Read until the source ends or fails, and say which."""
        try:
            reader = open_reader(self._task)
        except SourceFault as fault:
            self._tell(Tell.FAILED, {"why": str(fault)})
            return
        self._tell(Tell.OPENED, {"expected_per_s": reader.expected_per_s})
        reading = threading.Thread(target=self._read, args=(reader,), name="reader", daemon=True)
        reading.start()
        self._encode_until_end(reader, reading)
        self._tell_stats(reader)
        if self._fault is None:
            self._tell(Tell.ENDED, {})
        elif isinstance(self._fault, SourceFault):
            self._tell(Tell.FAILED, {"why": str(self._fault)})
        else:
            raise self._fault

    def _read(self, reader: FrameReader) -> None:
        try:
            while (at_s := reader.grab()) is not None:
                captured_at = time.time_ns() // 1000
                self._captured += 1
                if not reader.paced and not self._sampler.take(at_s):
                    self._dropped["rate_limit"] += 1
                    continue
                content = _content(reader)
                if content is None:
                    self._dropped["corrupt"] += 1
                else:
                    self._dropped["buffer_full"] += self._slots.put(Item(self._captured, captured_at, content))
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which tells of it or raises it
            self._fault = error

    def _encode_until_end(self, reader: FrameReader, reading: threading.Thread) -> None:
        stats_due_s = 0.0
        while True:
            alive = reading.is_alive()  # asked before the slot: what the reader put last is still taken
            item = self._slots.take(STATS_PERIOD_S / 4)
            if item is not None:
                self._send(item)
            elif not alive:
                return
            if time.monotonic() >= stats_due_s:
                self._tell_stats(reader)
                stats_due_s = time.monotonic() + STATS_PERIOD_S

    def _send(self, item: Item) -> None:
        """Encode once, where there are pixels; check the size; write."""
        if isinstance(item.content, Refused):
            self._refuse(item.index, item.content)
            return
        picture = item.content
        data = picture.data
        if picture.pixels is not None:
            data = simplejpeg.encode_jpeg(picture.pixels, self._task.jpeg_quality, "BGR", "420")
        if len(data) > self._task.max_image_bytes:
            detail = f"{len(data)} bytes, the limit is {self._task.max_image_bytes}"
            self._refuse(item.index, Refused("too_large", picture.name or "a frame", detail))
            return
        meta = {
            "index": item.index,
            "captured_at": item.captured_at,
            "encoding": encoding_of(data),
            "name": picture.name,
        }
        self._tell(Tell.FRAME, meta, data)

    def _refuse(self, index: int, refused: Refused) -> None:
        meta = {"index": index, "reason": refused.reason, "name": refused.name, "detail": refused.detail}
        self._tell(Tell.REFUSED, meta)

    def _tell_stats(self, reader: FrameReader) -> None:
        dropped = {**self._dropped, "damaged": reader.damaged}
        counts = {"captured": self._captured, "skipped": reader.skipped, "dropped": dropped}
        self._tell(Tell.STATS, counts)

    def _tell(self, tell: Tell, meta: dict[str, Any], body: bytes = b"") -> None:
        write(self._out_fd, Message(tell, meta, body))


def _content(reader: FrameReader) -> Picture | Refused | None:
    try:
        return reader.picture()
    except Refused as refused:
        return refused


def main() -> NoReturn:
    """Never returns to the interpreter: a reader thread inside FFmpeg would crash its shutdown."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the agent decides
        signal.signal(number, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL)
    task = Task.from_line(sys.stdin.buffer.readline())
    # Libraries print what they like on stdout: messages get a descriptor of their own.
    out_fd = os.dup(1)
    os.dup2(2, 1)
    threading.Thread(target=_exit_at_end_of_stdin, daemon=True).start()
    status = 0
    try:
        Capture(task, out_fd).run()
    except BrokenPipeError:
        status = 1  # the agent is gone
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stderr.flush()
    os._exit(status)


def _exit_at_end_of_stdin() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
