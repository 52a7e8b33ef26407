"""The decode pool: header check, scaled decode, orientation, resize and colour conversion, off the event loop.

A whole window is one hand-over to the threads and one back: a future per frame would wake the event loop for each,
and the event loop shares its cores (and the GIL) with the decoders.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from infra import metrics

In = TypeVar("In")
Out = TypeVar("Out")


class DecodePool(Generic[In, Out]):
    """Runs `work` on every image of a window in `threads` threads; windows are served in the order of their calls."""

    def __init__(self, threads: int, work: Callable[[In], Out]) -> None:
        self._threads, self._work = threads, work
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    async def run(self, images: Sequence[In]) -> list[Out | Exception]:
        """What `work` made of each image, in order: its result, or the exception that it raised."""
        if not images:
            return []
        window = _Window(images, self._work)
        loop = asyncio.get_running_loop()
        jobs = min(self._threads, len(images))
        await asyncio.gather(*(loop.run_in_executor(self._pool, window.work_off) for _ in range(jobs)))
        return window.results()

    def close(self) -> None:
        """Start nothing more. A decode that runs is not interrupted and not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Window(Generic[In, Out]):
    """Images that several threads take from until none is left."""

    def __init__(self, images: Sequence[In], work: Callable[[In], Out]) -> None:
        self._images, self._work = images, work
        self._results: list[Out | Exception | None] = [None] * len(images)
        self._next: Iterator[int] = iter(range(len(images)))
        self._lock = threading.Lock()

    def work_off(self) -> None:
        with metrics.STAGE_SECONDS.labels("decode").time():
            while (index := self._take()) is not None:
                try:
                    self._results[index] = self._work(self._images[index])
                except Exception as error:  # noqa: BLE001 - one frame's failure is that frame's outcome
                    self._results[index] = error

    def results(self) -> list[Out | Exception]:
        assert all(result is not None for result in self._results)
        return self._results  # type: ignore[return-value]

    def _take(self) -> int | None:
        with self._lock:
            return next(self._next, None)
