"""The parent's side of one decode process; the other side is `streams.decode.child`."""

import contextlib
import os
import socket
import subprocess
from collections import deque
from typing import NamedTuple

import psutil

from infra.process import metrics
from infra.process.children import environment, how_it_ended, module_command
from infra.process.memory import MIB
from streams.decode import child
from streams.decode.hard_sources import HARD_S
from streams.decode.jobs import Job

# One that is worked on and one that waits, so that the process never waits for the event loop.
JOBS_AHEAD = 2
# A file that grew beyond this size is truncated after its job, so that its memory is freed.
KEPT_BYTES = 8 * MIB
# An image takes long by the CPU time, so that on a machine with too much to do not every image does. One that makes no
# use of the CPU takes long by the clock.
LONG_S = 10 * HARD_S


class Done(NamedTuple):
    """A job that is settled, and the CPU seconds of the image of it that took longest."""

    job: Job
    longest_s: float


class DecoderProcess:
    """One process, our end of its channel, its files, and the `jobs` in them, which it does in order.

    Raises OSError where the system gives no more processes or files.
    """

    def __init__(self, work: bytes, now_s: float) -> None:
        self.jobs: deque[Job] = deque()
        self.is_ready = False
        self._since_s = now_s
        self._control_file = child.memory_file()
        self._files = [child.memory_file() for _ in range(JOBS_AHEAD)]
        self._given = self._taken = 0
        self._control = child.mapped(self._control_file)
        self._images_given = self._images_begun = 0
        self._begun_s = now_s
        self.channel, other = socket.socketpair()
        with other:
            handed_down = [other.fileno(), self._control_file, *self._files]
            try:
                self._process = subprocess.Popen(
                    module_command(child.__name__, *map(str, handed_down)),
                    pass_fds=handed_down,
                    stdin=subprocess.PIPE,
                    env=environment(),
                )
            except OSError:
                self._close()
                raise
        self.channel.setblocking(False)
        assert self._process.stdin
        # When the process is dead already, the channel reports it.
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(work)

    def has_room(self) -> bool:
        return len(self.jobs) < len(self._files)

    def busy_s(self, now_s: float) -> float:
        """For how long it has worked on its present job, or has been starting; 0 while it has nothing to do."""
        return now_s - self._since_s if self.jobs or not self.is_ready else 0.0

    def image_takes_long(self, now_s: float) -> bool:
        """Whether its present image has taken HARD_S of CPU time, or LONG_S as far as the calls of this have seen."""
        begun = self._control[child.BEGUN]
        if begun != self._images_begun:
            self._images_begun, self._begun_s = begun, now_s
        if not self.jobs or not self.is_ready:
            return False
        taken_s = now_s - max(self._begun_s, self._since_s)
        return taken_s >= LONG_S or (taken_s >= HARD_S and self._image_cpu_s() >= HARD_S)

    @property
    def is_hard_at_work(self) -> bool:
        """It works on an image that takes long."""
        return any(job.is_hard or job.caught is not None for job in self.jobs)

    def give(self, job: Job, now_s: float) -> None:
        """Give it a job; only while it has room. That it is dead shows only when its answer is read."""
        index = self._given % len(self._files)
        size = child.dump(self._files[index], job.images())
        self._given += 1
        job.first, self._images_given = self._images_given, self._images_given + len(job.indices)
        if not self.jobs and self.is_ready:
            self._since_s = now_s
        self.jobs.append(job)
        with contextlib.suppress(ConnectionError):
            self.channel.sendall(child.JOB.pack(index, size, job.first))

    def take_back(self) -> list[Job]:
        """Let it finish the image that it works on, which is caught, and begin none; returns jobs of all others.

        An image that it begins at this very moment is decoded twice, and one of the results is dropped.
        """
        if self._control[child.BEGUN] <= self.jobs[0].first:
            return []  # it works on no image yet
        self._control[child.TAKEN_BACK] = self._images_given
        at_work = self._control[child.BEGUN] - 1
        others = [job.take_back(at_work - job.first) for job in self.jobs if at_work < job.first + len(job.indices)]
        return [job for job in others if job.indices]

    def take_answer(self, now_s: float) -> Done | None:
        """Read one answer and settle the job that it belongs to; None for the first one, which says that it is ready.

        Raises ConnectionError when the process is dead or dying.
        """
        message = self.channel.recv(child.ANSWER.size)
        if len(message) < child.ANSWER.size:
            raise ConnectionError
        self._since_s = now_s
        if self.is_ready:
            return self._settle(*child.ANSWER.unpack(message))
        self.is_ready = True
        return None

    def kill(self) -> None:
        """End it without waiting: one with much memory may take seconds. Its answers are lost."""
        self._process.kill()
        self._close()

    def is_gone(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> str:
        """Wait for the end of one that was killed or died. Returns how it ended, in words."""
        return how_it_ended(self._process.wait())

    def _image_cpu_s(self) -> float:
        try:
            used = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return 0.0  # it is dead, which the channel reports
        return used.user + used.system - self._control[child.BEGUN_CPU_NS] / 1e9

    def _close(self) -> None:
        self.channel.close()
        for file in (self._control_file, *self._files):
            os.close(file)
        self._files = []

    def _settle(self, size: int, took_s: float, longest_s: float) -> Done:
        file = self._files[self._taken % len(self._files)]
        self._taken += 1
        results = child.load(file, size)
        if os.fstat(file).st_size > KEPT_BYTES:
            os.ftruncate(file, 0)
        metrics.STAGE_SECONDS.labels("decode").observe(took_s)
        job = self.jobs.popleft()
        job.settle(results)
        return Done(job, longest_s)
