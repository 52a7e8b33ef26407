"""The parent's side of one decode process; the other side is `streams.decode.child`."""

import contextlib
import os
import socket
import subprocess
from collections import deque

from infra.process import metrics
from infra.process.children import environment, how_it_ended, module_command
from infra.process.memory import MIB
from streams.decode import child
from streams.decode.jobs import Job

# One that is worked on and one that waits, so that the process never waits for the event loop.
JOBS_AHEAD = 2
# A file that grew beyond this size is truncated after its job, so that its memory is freed.
KEPT_BYTES = 8 * MIB


class DecoderProcess:
    """One process, our end of its channel, its files, and the `jobs` in them, which it does in order.

    Raises OSError where the system gives no more processes or files.
    """

    def __init__(self, work: bytes, now_s: float) -> None:
        self.jobs: deque[Job] = deque()
        self.is_ready = False
        self._since_s = now_s
        self._files = [child.memory_file() for _ in range(JOBS_AHEAD)]
        self._given = self._taken = 0
        self.channel, other = socket.socketpair()
        with other:
            handed_down = [other.fileno(), *self._files]
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

    def give(self, job: Job, now_s: float) -> None:
        """Give it a job; only while it has room. That it is dead shows only when its answer is read."""
        index = self._given % len(self._files)
        size = child.dump(self._files[index], job.images())
        self._given += 1
        if not self.jobs and self.is_ready:
            self._since_s = now_s
        self.jobs.append(job)
        with contextlib.suppress(ConnectionError):
            self.channel.sendall(child.JOB.pack(index, size))

    def take_answer(self, now_s: float) -> bool:
        """Read one answer and settle the job that it belongs to. False when the process is dead or dying."""
        try:
            message = self.channel.recv(child.ANSWER.size)
        except ConnectionError:
            return False
        if len(message) < child.ANSWER.size:
            return False
        self._since_s = now_s
        if self.is_ready:
            self._settle(*child.ANSWER.unpack(message))
        self.is_ready = True
        return True

    def end(self) -> str:
        """Kill it and wait for its end. Returns how it ended, in words."""
        self._process.kill()
        code = self._process.wait()
        self._close()
        return how_it_ended(code)

    def _close(self) -> None:
        self.channel.close()
        while self._files:
            os.close(self._files.pop())

    def _settle(self, size: int, took_s: float) -> None:
        file = self._files[self._taken % len(self._files)]
        self._taken += 1
        results = child.load(file, size)
        if os.fstat(file).st_size > KEPT_BYTES:
            os.ftruncate(file, 0)
        metrics.STAGE_SECONDS.labels("decode").observe(took_s)
        self.jobs.popleft().settle(results)
