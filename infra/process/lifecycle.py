"""How a process ends: one stop flag, which signals set, and time budgets that the closing steps share."""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from traceback import format_exception
from types import FrameType
from typing import TypeVar

from schemas.errors import SightlineError

# From SIGTERM to the end of the process: `docker stop` waits 10 s before SIGKILL.
STOP_BUDGET_S = 9.0

# How a piece of work is run beside its caller. Tests pass one that runs it at once, or later.
Start = Callable[[Callable[[], None]], None]
T = TypeVar("T")


def in_thread(run: Callable[[], None]) -> None:
    """A `Start`: runs the work in a daemon thread, named after the work, that does not keep the process alive."""
    threading.Thread(target=run, name=run.__qualname__, daemon=True).start()


class Stop:
    """The stop flag of a process: SIGINT or SIGTERM sets it, or code with a reason; loops look at it or wait for it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._interrupts = False
        # When it was set first, by `time.monotonic`.
        self.set_at_s: float | None = None
        # The first error that `set` was given; the process ends with it.
        self.error: BaseException | None = None

    def install(self) -> "Stop":
        """Take over SIGINT and SIGTERM; a second signal of the same kind ends the process at once."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        return self

    def set(self, error: BaseException | None = None) -> None:
        """Ask the process to end, with `error` if one is given and none was given before."""
        if error is not None and self.error is None:
            self.error = error
        self._set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is set; False when the time is over before."""
        return self._event.wait(timeout_s)

    def unless_stopped(self, work: Callable[[], T]) -> T | None:
        """What `work` returns; None when a signal came before or during it, which breaks it off.

        For long work in the main thread that does not look at the flag itself.
        """
        try:
            try:
                self._interrupts = True
                return None if self.is_set() else work()
            finally:
                self._interrupts = False
        except KeyboardInterrupt:
            return None

    def raise_error(self) -> None:
        """Raise the error that `set` was given, if there is one."""
        if self.error is not None:
            raise self.error

    def _set(self) -> None:
        if self.set_at_s is None:
            self.set_at_s = time.monotonic()
        self._event.set()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self._set()
        if self._interrupts:
            raise KeyboardInterrupt


class Deadline:
    """A time budget that begins now and that several waits share."""

    def __init__(self, seconds: float) -> None:
        self._end_s = time.monotonic() + seconds

    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end_s - time.monotonic())

    def expired(self) -> bool:
        return self.remaining_s() <= 0.0


class StopBudget:
    """A time budget that begins when `stop` is set, and that several waits share. Endless before that."""

    def __init__(self, stop: Stop, seconds: float = STOP_BUDGET_S) -> None:
        self._stop, self._seconds = stop, seconds

    def remaining_s(self) -> float:
        """Seconds left, never negative; infinite while `stop` is not set."""
        if self._stop.set_at_s is None:
            return math.inf
        return max(0.0, self._stop.set_at_s + self._seconds - time.monotonic())

    def expired(self) -> bool:
        return self.remaining_s() <= 0.0

    def at_most_s(self, wanted_s: float, keep_s: float = 0.0) -> float:
        """Seconds for a wait that would last `wanted_s`: no more than what is left, less `keep_s` for what follows."""
        return min(wanted_s, max(0.0, self.remaining_s() - keep_s))


def print_end(error: BaseException | None) -> int:
    """For a process that cannot raise its error: print why it ends, and return its exit code."""
    if error is None:
        return 0
    text = f"sightline: {error}\n" if isinstance(error, SightlineError) else "".join(format_exception(error))
    print(text, end="", file=sys.stderr, flush=True)
    return 1
