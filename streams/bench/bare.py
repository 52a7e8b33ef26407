"""The bare limits that the pipeline is compared with: the same work without Kafka, framework or second process."""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np

from inference.image import prepare
from inference.models.base import InputSpec, Model, Pixels
from schemas.records import PixelEncoding

THREADS = 2
AHEAD_BATCHES = 3


def decode_loop(jpegs: Sequence[bytes], spec: InputSpec, count: int, max_image_pixels: int) -> int:
    """Our own decode, resize and conversion to I420 in a plain thread pool; returns `count`."""

    def one(jpeg: bytes) -> int:
        return len(prepare(jpeg, spec, PixelEncoding.I420, max_image_pixels).pixels)

    with ThreadPoolExecutor(THREADS) as pool:
        sizes = list(pool.map(one, itertools.islice(itertools.cycle(jpegs), count)))
    assert all(size == spec.row_bytes(PixelEncoding.I420) for size in sizes)
    return count


def model_loop(model: Model, rows: Pixels, batch_size: int, count: int) -> int:
    """The model alone on pixels that are prepared already; returns the number of images."""
    batches = max(1, count // batch_size)
    batch = np.resize(rows, (batch_size, rows.shape[1]))
    for _ in range(batches):
        model.run(batch)
    return batches * batch_size


def plain_program(jpegs: Sequence[bytes], model: Model, batch_size: int, count: int) -> int:
    """A program as written by hand: one process, threads that decode at full size with OpenCV, batches to the model.

    Returns `count`.
    """
    spec = model.input

    def one(jpeg: bytes) -> Pixels:
        bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert bgr is not None
        return _resized(bgr, spec).reshape(-1)

    with ThreadPoolExecutor(THREADS) as pool:
        work = itertools.islice(itertools.cycle(jpegs), count)
        ahead: list[list[Future[Pixels]]] = []
        for chunk in _chunks(work, batch_size):
            ahead.append([pool.submit(one, jpeg) for jpeg in chunk])
            if len(ahead) > AHEAD_BATCHES:
                model.run(np.stack([future.result() for future in ahead.pop(0)]))
        for futures in ahead:
            model.run(np.stack([future.result() for future in futures]))
    return count


def _chunks(items: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _resized(bgr: Any, spec: InputSpec) -> Pixels:
    height, width = bgr.shape[:2]
    scale = spec.resize / min(height, width)
    scaled = cv2.resize(bgr, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    top, left = (scaled.shape[0] - spec.height) // 2, (scaled.shape[1] - spec.width) // 2
    cut = scaled[top : top + spec.height, left : left + spec.width]
    rgb: Pixels = cv2.cvtColor(cut, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    return rgb
