"""The decode pool: child processes that turn images into model input.

Processes and not threads, for two reasons. A decoder releases and takes the GIL several times for an image, and would
wait for the event loop each time. And an image that crashes the decoder, or never lets it return, must not end the
stage, which would read the same image again after each restart.

There is one process more than images are decoded at once, and one at least works on no image that takes long. Such an
image delays those of other sources only until it is noticed.
"""

import asyncio
import pickle
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from infra.process import logs
from schemas.errors import Stalled
from streams.decode.hard_sources import HardSources
from streams.decode.jobs import ImageWindow, Job, jobs_of, without_hard
from streams.decode.process import DecoderProcess, Done

log = logs.get(__name__)

In = TypeVar("In")
Out = TypeVar("Out")

MAX_IMAGES = 8
LOOK_S = 0.05
START_TIMEOUT_S = 60.0
# In a row. One may be killed while it starts; after this many the next one is not expected to start either.
MAX_FAILED_STARTS = 4


class DecodePool(Generic[In, Out]):
    """Runs `work` on images, on up to `at_once` of them at the same time. Jobs start in the order of the calls.

    `work`, its argument and its result must be picklable. A process that works on one job for longer than `timeout_s`
    is killed. For the event loop only; any thread may read `steps`.
    """

    def __init__(self, at_once: int, work: Callable[[In], Out], timeout_s: float) -> None:
        self._at_once, self._work, self._timeout_s = at_once, pickle.dumps(work), timeout_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Job] = deque()
        self._waiting_hard: deque[Job] = deque()
        self._hard = HardSources()
        self._failed_starts = 0
        self.steps = 0  # grows with every job that was answered or given up
        self._error: Stalled | None = None
        self._dying: list[DecoderProcess] = []
        self._processes = [self._start() for _ in range(at_once + 1)]
        self._timer = self._loop.call_later(LOOK_S, self._look)

    async def run(
        self, images: Sequence[In], sources: Sequence[Hashable]
    ) -> "list[Out | Exception | asyncio.Future[Out | Exception] | None]":
        """For each image, in order, the result of `work` or the exception that it raised.

        Of an image that takes long: a future of that. Of images of its source that were not begun: None, and the
        caller gives each to `run_hard`. DecoderDied is the result of an image with which two processes died or hung,
        the second with this image alone. Raises Stalled when processes do not start.
        """
        window = ImageWindow(images, sources, self._loop.create_future)
        size = max(1, min(MAX_IMAGES, -(-len(images) // self._at_once)))
        return await self._results(window, self._waiting, jobs_of(window, size, self._is_hard))

    async def run_hard(self, image: In, source: Hashable) -> Out | Exception:
        """The result for one image that may take long. It waits for a process that has nothing to do."""
        window = ImageWindow([image], [source], self._loop.create_future)
        (result,) = await self._results(window, self._waiting_hard, [Job(window, [0], is_hard=True)])
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the processes; the jobs that they work on are lost."""
        self._timer.cancel()
        for process in self._processes:
            self._loop.remove_reader(process.channel)
            process.kill()
        for process in (*self._processes, *self._dying):
            process.wait()

    async def _results(self, window: ImageWindow, waiting: deque[Job], jobs: Iterable[Job]) -> list:  # type: ignore[type-arg]
        if self._error is not None:
            raise self._error
        if not window.images:
            return []
        waiting.extend(jobs)
        self._hand_out()
        await window.done
        return list(window.results)

    def _is_hard(self, source: Hashable) -> bool:
        return self._hard.is_hard(source, self._loop.time())

    def _start(self) -> DecoderProcess:
        process = DecoderProcess(self._work, self._loop.time())
        self._loop.add_reader(process.channel, self._on_readable, process)
        return process

    def _hand_out(self) -> None:
        """Give jobs to the least busy processes that have started.

        Each holds few: all jobs of a process that dies are done again.
        """
        while self._waiting_hard and (process := self._idle()) is not None:
            process.give(self._waiting_hard.popleft(), self._loop.time())
        while self._waiting and (process := self._least_busy()) is not None:
            process.give(self._waiting.popleft(), self._loop.time())

    def _idle(self) -> DecoderProcess | None:
        """A process for a hard image; None while all but one are at work on such."""
        if sum(one.is_hard_at_work for one in self._processes) >= self._at_once:
            return None
        return next((one for one in self._processes if one.is_ready and not one.jobs), None)

    def _least_busy(self) -> DecoderProcess | None:
        """A process for images that are not known to be hard, of which `at_once` at most have any."""
        easy = [one for one in self._processes if one.is_ready and not one.is_hard_at_work]
        at_work = [one for one in easy if one.jobs]
        found = min(at_work if len(at_work) >= self._at_once else easy, key=lambda one: len(one.jobs), default=None)
        return found if found is not None and found.has_room() else None

    def _on_readable(self, process: DecoderProcess) -> None:
        was_ready = process.is_ready
        self.steps += 1
        try:
            done = process.take_answer(self._loop.time())
        except ConnectionError:
            self._replace(process, "")
        else:
            if done is not None:
                self._judge(done)
            elif not was_ready:
                self._failed_starts = 0
        self._hand_out()

    def _judge(self, done: Done) -> None:
        """Learn from a picture that took long whether it was the picture or the machine."""
        job = done.job
        if job.caught is None and not job.is_hard:
            return
        source = job.window.sources[job.indices[0] if job.caught is None else job.caught]
        if self._hard.judge(source, done.longest_s, job.caught is not None, self._loop.time()):
            seconds = round(done.longest_s, 1)
            log.warning("pictures of a source take long: decoded beside the others", source=source, seconds=seconds)

    def _look(self) -> None:
        """Replace processes that hang, and take back what waits behind an image that takes long.

        After a pause of the whole machine their answers come first: the loop serves sockets before timers.
        """
        self._dying = [process for process in self._dying if not process.is_gone()]
        for process in list(self._processes):
            limit_s = self._timeout_s if process.is_ready else START_TIMEOUT_S
            if process.busy_s(self._loop.time()) > limit_s:
                self._replace(process, f"took longer than {limit_s:g} s")
            elif process.image_takes_long(self._loop.time()) and not process.is_hard_at_work:
                self._catch(process)
        self._hand_out()
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def _catch(self, process: DecoderProcess) -> None:
        """Its image takes long: the others wait no longer for it, and those of its source are postponed."""
        others = process.take_back()
        for job in process.jobs:
            if job.caught is not None:
                self._hard.suspect(job.window.sources[job.caught], self._loop.time())
        left = (without_hard(job, self._is_hard) for job in (*others, *self._waiting))
        self._waiting = deque(job for job in left if job is not None)
        if self._waiting and all(one.is_hard_at_work for one in self._processes):
            self._put_off(process)

    def _put_off(self, process: DecoderProcess) -> None:
        """All processes work on hard images: this one's begins anew as soon as one of the others is done."""
        self._waiting_hard.extend(
            Job(job.window, [index], job.deaths, is_hard=True) for job in process.jobs for index in job.left()
        )
        process.jobs.clear()
        self._replace(process, "had to make room")

    def _replace(self, process: DecoderProcess, why: str) -> None:
        self._loop.remove_reader(process.channel)
        process.kill()
        how = why or process.wait()  # without a reason it is dead already
        self._processes.remove(process)
        self._dying.append(process)
        self._failed_starts += not process.is_ready
        if self._failed_starts >= MAX_FAILED_STARTS:
            self._fail(Stalled(f"decode processes do not start: the last one {how}"), process.jobs)
            return
        self.steps += 1
        log.warning("a decode process is replaced", how=how, was_ready=process.is_ready)
        jobs = list(process.jobs)
        if jobs:
            jobs = [*jobs[0].after_a_death(how), *jobs[1:]]
        jobs = [job for job in jobs if job.left()]
        self._waiting_hard.extendleft(job for job in reversed(jobs) if job.is_hard)
        self._waiting.extendleft(job for job in reversed(jobs) if not job.is_hard)
        try:
            self._processes.append(self._start())
        except OSError as error:  # the system gives no more processes or files
            self._fail(Stalled(f"a decode process cannot be started: {error}"), ())

    def _fail(self, error: Stalled, lost: Iterable[Job]) -> None:
        """All callers of `run`, present and future, get this error."""
        self._error = error
        given = (job for process in self._processes for job in process.jobs)
        for job in (*lost, *self._waiting, *self._waiting_hard, *given):
            job.window.fail(error)
        self._waiting.clear()
        self._waiting_hard.clear()
