"""A model, the one thread that calls it, and how many images fit into a run of it."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from inference.device.working_size import WorkingSize
from inference.models.base import Model


class Device:
    """Jobs run one after the other, all in one thread: libraries keep per thread what they tuned and allocated.

    The thread lives as long as the process, and does not keep it alive.
    """

    def __init__(self, model: Model, max_rows: int) -> None:
        self.model, self.working = model, WorkingSize(max_rows)
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], Future[None]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="device", daemon=True).start()

    def start(self, job: Callable[[], None]) -> "Future[None]":
        """The future holds what the job raises."""
        done = Future[None]()
        self._jobs.put((job, done))
        return done

    def _work(self) -> None:
        while True:
            job, done = self._jobs.get()
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever started the job
                done.set_exception(error)
            else:
                done.set_result(None)
            del job, done
