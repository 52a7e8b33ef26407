"""Keeps one `sightline` process running, as an orchestrator does: when it ends, it is started again and counted."""

import contextlib
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from tests.faults.memory import MemoryTrack
from tests.support.runner import COMMAND, Running

_LOOK_S = 0.05
_BACKOFF_FIRST_S = 0.2
_BACKOFF_MAX_S = 5.0
# A process that ran for at least this long did not fail at its start: it is restarted without a delay.
_HEALTHY_S = 10.0
_STDERR_KEPT = 3000


@dataclass(frozen=True, slots=True)
class End:
    """How one process ended. `ours`: after a signal that the test sent, and not by itself."""

    code: int
    age_s: float
    ours: bool
    stderr: str


class Keeper:
    """Restarts the command when it ends: at once after a long run, with a growing delay while it keeps ending early."""

    def __init__(
        self, name: str, words: Sequence[str], env: Mapping[str, str], command: Sequence[str] = COMMAND
    ) -> None:
        self.name = name
        self.words, self.env, self.command = list(words), dict(env), tuple(command)
        self.ends: list[End] = []
        self.stops_s: list[float] = []
        self.starts = 0
        self.memory = MemoryTrack()
        self._current: Running | None = None
        self._started_s = 0.0
        self._signalled = False
        self._stopping = threading.Event()
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    # -- start and stop

    def start(self, ready: bool = True) -> "Keeper":
        self._stopping.clear()
        self._begin()
        self._thread = threading.Thread(target=self._keep, name=f"keeper {self.name}", daemon=True)
        self._thread.start()
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Wait until the process that runs by then answers /readyz with 200."""
        until_s = time.monotonic() + timeout_s
        answer: tuple[int, str] = (0, "")
        while time.monotonic() < until_s:
            with self._lock:
                current = self._current
            answer = current.probe("/readyz") if current else answer
            if answer[0] == 200:
                return
            time.sleep(_LOOK_S * 2)
        raise AssertionError(f"{self.name} is not ready after {timeout_s:g} s: {answer}; {self.last_words()}")

    def stop(self, budget_s: float = 10.0) -> int | None:
        """Stop it with SIGTERM and do not restart it; returns its exit code. Fails when `budget_s` is over before."""
        self._halt()
        with self._lock:
            current = self._current
            if current is None or current.exit_code is not None:
                return None
            self._signalled = True
            current.signal(signal.SIGCONT)
            asked_s = time.monotonic()
            code = current.stop(budget_s)
            self.stops_s.append(time.monotonic() - asked_s)
            self._ended(current)
            return code

    def close(self) -> None:
        """End the process, by SIGKILL if nothing else helps, and do not restart it."""
        self._halt()
        with self._lock:
            if self._current is not None:
                self._current.close()
                self._current = None

    # -- faults

    def signal(self, number: int) -> None:
        """Send a signal to the present process. When it ends after that, the end counts as ours."""
        with self._lock:
            if self._current is not None:
                self._signalled = number not in (signal.SIGSTOP, signal.SIGCONT) or self._signalled
                self._current.signal(number)

    def kill(self) -> None:
        """kill -9; it is started again at once."""
        self.signal(signal.SIGKILL)

    def kill_for_good(self) -> None:
        """kill -9, and not started again until `start`."""
        self._halt()
        with self._lock:
            if self._current is not None and self._current.exit_code is None:
                self._signalled = True
                self._current.kill()
                self._ended(self._current)

    def restart(self, budget_s: float = 10.0) -> None:
        """Restart it as a rollout does: SIGTERM, its end within `budget_s`, then a new process until it is ready."""
        self.stop(budget_s)
        self.start()

    # -- observations

    @property
    def pid(self) -> int:
        with self._lock:
            assert self._current is not None
            return self._current.pid

    @property
    def current(self) -> Running:
        with self._lock:
            assert self._current is not None
            return self._current

    @property
    def restarts(self) -> int:
        return max(0, self.starts - 1)

    @property
    def ended_by_itself(self) -> list[End]:
        return [end for end in self.ends if not end.ours]

    def last_words(self) -> str:
        """The end of its stderr, for the message of a failed test."""
        with self._lock:
            now = self._current.stderr[-_STDERR_KEPT:] if self._current else ""
        own = self.ended_by_itself
        before = f"\n  ended before with {own[-1].code}:\n{own[-1].stderr}" if own else ""
        return f"{self.name} ({self.starts} starts) said:\n{now}{before}"

    def sample_memory(self) -> None:
        """Record how much memory the process and its children use now."""
        with self._lock:
            current = self._current
        if current is None or current.exit_code is not None:
            return
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(current.pid)
            rss = sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
            self.memory.add(self.starts, time.monotonic(), rss)

    # -- details

    def _begin(self) -> None:
        with self._lock:
            self._signalled = False
            self._current = Running(self.words, self.env, command=self.command)
            self._started_s = time.monotonic()
            self.starts += 1

    def _ended(self, current: Running) -> float:
        """Record how the process ended; returns for how long it ran, in seconds."""
        age_s = time.monotonic() - self._started_s
        code = current.exit_code
        assert code is not None
        self.ends.append(End(code, age_s, self._signalled, current.stderr[-_STDERR_KEPT:]))
        current.close()
        self._current = None
        return age_s

    def _halt(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(30.0)
            self._thread = None

    def _keep(self) -> None:
        wait_s = 0.0
        while not self._stopping.wait(_LOOK_S):
            with self._lock:
                current = self._current
                if current is not None and current.exit_code is None:
                    continue
                age_s = self._ended(current) if current is not None else 0.0
            wait_s = 0.0 if age_s > _HEALTHY_S else min(_BACKOFF_MAX_S, max(_BACKOFF_FIRST_S, wait_s * 2))
            if self._stopping.wait(wait_s):
                return
            self._begin()
