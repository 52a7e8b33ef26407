"""The decode pool: child processes that turn images into model input.

Processes and not threads, for two reasons. A decoder releases and takes the GIL several times for an image, and would
wait for the event loop each time. And an image that crashes the decoder, or never lets it return, must not end the
stage, which would read the same image again after each restart.
"""

import asyncio
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from infra.process import logs
from schemas.errors import Stalled
from streams.decode.jobs import ImageWindow, Job
from streams.decode.process import DecoderProcess

log = logs.get(__name__)

In = TypeVar("In")
Out = TypeVar("Out")

MAX_IMAGES = 8
LOOK_S = 0.5
START_TIMEOUT_S = 60.0
# In a row. One may be killed while it starts; after this many the next one is not expected to start either.
MAX_FAILED_STARTS = 4


class DecodePool(Generic[In, Out]):
    """Runs `work` on every image of a window, in `processes` processes. Jobs start in the order of the calls.

    `work`, its argument and its result must be picklable. A process that works on one job for longer than `timeout_s`
    is killed. For the event loop only; any thread may read `steps`.
    """

    def __init__(self, processes: int, work: Callable[[In], Out], timeout_s: float) -> None:
        self._work, self._timeout_s = pickle.dumps(work), timeout_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Job] = deque()
        self._failed_starts = 0
        self.steps = 0  # grows with every job that was answered or given up
        self._error: Stalled | None = None
        self._processes = [self._start() for _ in range(processes)]
        self._timer = self._loop.call_later(LOOK_S, self._look)

    async def run(self, images: Sequence[In]) -> list[Out | Exception]:
        """For each image, in order, the result of `work` or the exception that it raised.

        DecoderDied is the result of an image with which two processes died or hung, the second with this image alone.
        Raises Stalled when processes do not start.
        """
        if self._error is not None:
            raise self._error
        if not images:
            return []
        window = ImageWindow(images, self._loop.create_future())
        self._waiting.extend(window.jobs(min(MAX_IMAGES, -(-len(images) // len(self._processes)))))
        self._hand_out()
        await window.done
        return window.results

    def close(self) -> None:
        """End the processes; the jobs that they work on are lost."""
        self._timer.cancel()
        for process in self._processes:
            self._loop.remove_reader(process.channel)
            process.end()

    def _start(self) -> DecoderProcess:
        process = DecoderProcess(self._work, self._loop.time())
        self._loop.add_reader(process.channel, self._on_readable, process)
        return process

    def _hand_out(self) -> None:
        """Give jobs to the least busy processes. Each holds few: all jobs of a process that dies are done again."""
        while self._waiting:
            process = min(self._processes, key=lambda one: len(one.jobs))
            if not process.has_room():
                return
            process.give(self._waiting.popleft(), self._loop.time())

    def _on_readable(self, process: DecoderProcess) -> None:
        was_ready = process.is_ready
        self.steps += 1
        if not process.take_answer(self._loop.time()):
            self._replace(process, "")
        elif not was_ready:
            self._failed_starts = 0
        self._hand_out()

    def _look(self) -> None:
        """Replace processes that hang.

        After a pause of the whole machine their answers come first: the loop serves sockets before timers.
        """
        for process in list(self._processes):
            limit_s = self._timeout_s if process.is_ready else START_TIMEOUT_S
            if process.busy_s(self._loop.time()) > limit_s:
                self._replace(process, f"took longer than {limit_s:g} s")
        self._hand_out()
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def _replace(self, process: DecoderProcess, why: str) -> None:
        self._loop.remove_reader(process.channel)
        ended = process.end()
        how = why or ended
        self._processes.remove(process)
        self._failed_starts += not process.is_ready
        if self._failed_starts >= MAX_FAILED_STARTS:
            self._fail(Stalled(f"decode processes do not start: the last one {how}"), process.jobs)
            return
        self.steps += 1
        log.warning("a decode process is replaced", how=how, was_ready=process.is_ready)
        if process.jobs and process.is_ready:  # otherwise it had not begun its first job
            suspect = process.jobs.popleft()
            process.jobs.extendleft(reversed(suspect.after_a_death(how)))
        self._waiting.extendleft(reversed(process.jobs))
        try:
            self._processes.append(self._start())
        except OSError as error:  # the system gives no more processes or files
            self._fail(Stalled(f"a decode process cannot be started: {error}"), ())

    def _fail(self, error: Stalled, lost: Iterable[Job]) -> None:
        """All callers of `run`, present and future, get this error."""
        self._error = error
        for job in (*lost, *self._waiting, *(job for process in self._processes for job in process.jobs)):
            job.window.fail(error)
        self._waiting.clear()
