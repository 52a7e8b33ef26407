"""Ends a worker that no longer gets anywhere: peers hang for days like that, and nobody notices."""

import os
import threading
import time
from collections.abc import Callable

from infra import logs
from infra.lifecycle import STOP_BUDGET_S, Stop
from schemas.errors import Stalled

log = logs.get(__name__)

LOOK_EVERY_S = 0.5


def stall(work_waits: bool, last_progress_s: float, now_s: float, limit_s: float) -> str | None:
    """Why the worker counts as stalled, if it does. Pure."""
    if work_waits and now_s - last_progress_s > limit_s:
        return f"frames wait and nothing was committed for {now_s - last_progress_s:.0f} s"
    return None


class Watchdog:
    """Looks from a thread of its own, so that it sees the others hang. Start it once work can arrive.

    First it asks for an orderly end; a process that cannot even do that is ended from here.
    """

    def __init__(
        self, work_waits: Callable[[], bool], last_progress_s: Callable[[], float], limit_ms: int, stop: Stop
    ) -> None:
        self._work_waits, self._last_progress_s = work_waits, last_progress_s
        self._limit_s, self._stop = limit_ms / 1000, stop
        self._waiting_since_s: float | None = None
        self._closed = threading.Event()
        self.reason: str | None = None
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def look(self, now_s: float) -> str | None:
        if not self._work_waits():
            self._waiting_since_s = None
            return None
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        since_s = max(self._waiting_since_s, self._last_progress_s())
        return stall(True, since_s, now_s, self._limit_s)

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            if self._stop.is_set():
                self._end_by_force()
                return
            self.reason = self.look(time.monotonic())
            if self.reason is not None:
                log.error("the worker is stalled", reason=self.reason)
                self._stop.set(Stalled(f"{self.reason}; ending, so that it is started again"))

    def _end_by_force(self) -> None:
        if not self._closed.wait(STOP_BUDGET_S + 0.7):
            log.error("the worker did not come to an end in time", reason=self.reason or "asked to stop")
            os._exit(1)
