"""The queue before the device, and a thread that fills the next run's buffer while the device is busy."""

import queue
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from inference.device.jpeg import DecodedRow, DecodeJpeg
from inference.device.runs import Part, RunPlanner
from inference.device.work import Work
from inference.models.base import InputSpec, Pixels
from infra.process import metrics
from schemas.coordinates import TopicPartition
from schemas.errors import BadFrame
from schemas.records import BatchItem, PixelEncoding, Quality

# One buffer for the run on the device, one for the run that is filled meanwhile.
BUFFERS = 2


@dataclass(frozen=True, slots=True)
class Run:
    """Rows for the model, part by part, in the buffer with the number `slot`.

    Of rows decoded here (JPEG), `rejected` tells which have no image and why, `qualities` the quality of the others.
    """

    parts: list[Part[Work]]
    pixels: Pixels
    slot: int
    rejected: dict[int, BadFrame] = field(default_factory=dict)
    qualities: dict[int, Quality] = field(default_factory=dict)


def now_ms() -> float:
    return time.monotonic() * 1000


class Staging:
    """`put` and `drop` are for the poll thread and never wait; `next_run` and `finished` are for the device thread."""

    def __init__(
        self,
        spec: InputSpec,
        max_rows: int,
        max_delay_ms: float,
        *,
        decode_jpeg: DecodeJpeg | None = None,
        decode_threads: int = 1,
    ) -> None:
        self._spec, self._max_rows = spec, max_rows
        self._planner: RunPlanner[Work] = RunPlanner(max_rows, max_delay_ms)
        metrics.QUEUE_FRAMES.labels("device").set_function(lambda: self._planner.rows)
        metrics.QUEUE_BYTES.labels("device").set_function(lambda: self._planner.size_bytes)
        self._changed = threading.Condition()
        self._closed = False
        self._handed_over = 0
        self._runs: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._buffers: list[dict[int, Pixels]] = [{} for _ in range(BUFFERS)]
        for slot in range(BUFFERS):
            self._free.put(slot)
        self._decode_jpeg = decode_jpeg
        self._pool = ThreadPoolExecutor(decode_threads, "decode") if decode_jpeg else None

    # -- for the poll thread

    def put(self, work: Work) -> None:
        with self._changed:
            self._planner.add(work, work.encoding, len(work.rows), len(work.pixels), now_ms())
            self._changed.notify()

    def drop(self, partitions: Collection[TopicPartition]) -> set[Work]:
        """Remove and return the work of these partitions that is not on its way to the device yet."""
        with self._changed:
            return set(self._planner.drop(lambda work: work.record.topic_partition in partitions))

    @property
    def size_bytes(self) -> int:
        return self._planner.size_bytes

    def close(self) -> None:
        """What waits is dropped. The filling thread ends, and then the device thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._free.put(-1)

    # -- for the device thread

    def next_run(self) -> Run | None:
        """Waits for the next run; None after `close`."""
        run = self._runs.get()
        arrived_ms = [part.arrived_ms for part in run.parts if part.count] if run is not None else []
        if arrived_ms:
            metrics.DEVICE_WAIT_SECONDS.observe((now_ms() - min(arrived_ms)) / 1000)
        return run

    def finished(self, run: Run) -> None:
        """The device has read the run's pixels: their buffer can be filled again."""
        self._free.put(run.slot)
        with self._changed:
            self._handed_over -= 1
            self._changed.notify()

    # -- the thread between the two

    def fill_runs(self) -> None:
        """The body of the filling thread: wait for a free buffer and a run that should start, fill it, pass it on."""
        try:
            while (slot := self._free.get()) >= 0:
                parts = self._next_parts()
                if parts is None:
                    break
                self._runs.put(self._fill(parts, slot))
        finally:
            self._runs.put(None)
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    def _next_parts(self) -> list[Part[Work]] | None:
        with self._changed:
            while not self._closed:
                now, idle = now_ms(), self._handed_over == 0
                parts = self._planner.take(now, idle)
                if parts:
                    self._handed_over += 1
                    return parts
                wait_ms = self._planner.wait_ms(now, idle)
                self._changed.wait(None if wait_ms is None else wait_ms / 1000)
            return None

    def _fill(self, parts: list[Part[Work]], slot: int) -> Run:
        rows = sum(part.count for part in parts)
        encoding = parts[0].work.encoding
        if encoding is PixelEncoding.JPEG:
            run = Run(parts, self._buffer(slot, self._spec.row_bytes(self._spec.encoding))[:rows], slot)
            self._decode(run)
        else:
            run = Run(parts, self._buffer(slot, self._spec.row_bytes(encoding))[:rows], slot)
            _gather(parts, run.pixels)
        for part in parts:
            if part.start + part.count == len(part.work.rows):
                part.work.pixels = b""  # the largest part of the work is freed as soon as it is copied
        return run

    def _decode(self, run: Run) -> None:
        assert self._pool is not None
        for row, result in enumerate(self._pool.map(self._try_decode, _images(run.parts))):
            if isinstance(result, BadFrame):
                run.rejected[row] = result
                run.pixels[row] = 0
            else:
                run.qualities[row] = result.quality
                run.pixels[row] = np.frombuffer(result.pixels, np.uint8)

    def _try_decode(self, image: bytes) -> DecodedRow | BadFrame:
        assert self._decode_jpeg is not None
        try:
            return self._decode_jpeg(image)
        except BadFrame as error:
            return BadFrame(error.reason, error.detail)  # without the frames of this one, which hold the image

    def _buffer(self, slot: int, row_bytes: int) -> Pixels:
        buffers = self._buffers[slot]
        if row_bytes not in buffers:
            buffers[row_bytes] = np.empty((self._max_rows, row_bytes), np.uint8)
        return buffers[row_bytes]


def _part_items(part: Part[Work]) -> list[BatchItem]:
    return [part.work.items[index] for index in part.work.rows[part.start : part.start + part.count]]


def _images(parts: list[Part[Work]]) -> list[bytes]:
    return [part.work.pixels[item.start : item.start + item.length] for part in parts for item in _part_items(part)]


def _gather(parts: list[Part[Work]], buffer: Pixels) -> None:
    """Copies the images into the buffer, adjacent ones in one piece."""
    at, row_bytes = 0, buffer.shape[1]
    for part in parts:
        items = _part_items(part)
        first = 0
        while first < len(items):
            last, start = first + 1, items[first].start
            while last < len(items) and items[last].start == start + (last - first) * row_bytes:
                last += 1
            count = last - first
            view = np.frombuffer(part.work.pixels, np.uint8, count * row_bytes, start)
            buffer[at : at + count] = view.reshape(count, row_bytes)
            at, first = at + count, last
