"""Ends a worker that makes no progress: else it could hang for days as a member of its group, without a sign.

It looks at two things: work that was read and is not committed, and records that wait on the broker for a worker that
does not get them (`group.starvation`).
"""

import os
import threading
import time
from collections.abc import Callable

from infra.process import logs
from infra.process.lifecycle import STOP_BUDGET_S, Stop
from infra.process.standstill import Standstill
from schemas.errors import Stalled

log = logs.get(__name__)

LOOK_EVERY_S = 0.5


class StallWatchdog:
    """Looks from a thread of its own, so that it sees the others hang. Start it once work can arrive.

    It asks for an orderly stop first. A process that does not stop within its budget is ended from here.
    """

    def __init__(
        self,
        work_waits: Callable[[], bool],
        last_commit_s: Callable[[], float],
        starved: Callable[[], str | None],
        limit_ms: float,
        stop: Stop,
    ) -> None:
        self._work_waits, self._last_commit_s, self._starved = work_waits, last_commit_s, starved
        self._limit_ms, self._stop = limit_ms, stop
        self._standstill = Standstill()
        self._commit_s: float | None = None
        self._closed = threading.Event()
        self.reason: str | None = None
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "StallWatchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def look(self, now_ms: float) -> str | None:
        """Why the worker counts as stalled, if it does."""
        commit_s = self._last_commit_s()
        moving = commit_s != self._commit_s or not self._work_waits()
        self._commit_s = commit_s
        waited_ms = self._standstill.look(moving, now_ms)
        if waited_ms > self._limit_ms:
            return f"frames wait and nothing was committed for {waited_ms / 1000:.0f} s"
        return self._starved()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            if self._stop.is_set():
                self._end_by_force()
                return
            self.reason = self.look(time.monotonic() * 1000)
            if self.reason is not None:
                log.error("the worker is stalled", reason=self.reason)
                self._stop.set(Stalled(f"{self.reason}; ending, so that it is started again"))

    def _end_by_force(self) -> None:
        if not self._closed.wait(STOP_BUDGET_S + 0.7):
            log.error("the worker did not come to an end in time", reason=self.reason or "asked to stop")
            os._exit(1)
