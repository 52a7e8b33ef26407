"""How a process ends: one stop flag set by signals, one time budget shared by everything that closes."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

STOP_BUDGET_S = 9.0

# How something is run beside the caller; a test may run it at once, or later.
Start = Callable[[Callable[[], None]], None]
T = TypeVar("T")


def in_thread(run: Callable[[], None]) -> None:
    """A `Start`: in a thread of its own, named after it, that does not keep the process alive."""
    threading.Thread(target=run, name=run.__qualname__, daemon=True).start()


class Stop:
    """Set by SIGINT and SIGTERM, or from code with a reason; waited for by loops."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._interrupts = False
        self.error: BaseException | None = None

    def install(self) -> "Stop":
        """Take over SIGINT and SIGTERM; a second signal of either ends the process at once."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        return self

    def set(self, error: BaseException | None = None) -> None:
        """Ask for the end; the first error given is the one that the process ends with."""
        if error is not None and self.error is None:
            self.error = error
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        return self._event.wait(timeout_s)

    def unless_stopped(self, work: Callable[[], T]) -> T | None:
        """What `work` returns; a signal breaks it off: None. For long work in the main thread that looks at no flag."""
        try:
            try:
                self._interrupts = True
                return None if self.is_set() else work()
            finally:
                self._interrupts = False
        except KeyboardInterrupt:
            return None

    def raise_error(self) -> None:
        """Raise what `set` was given, if anything."""
        if self.error is not None:
            raise self.error

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self._event.set()
        if self._interrupts:
            raise KeyboardInterrupt


class Deadline:
    """A monotonic time budget that several waits share."""

    def __init__(self, seconds: float) -> None:
        self._end_s = time.monotonic() + seconds

    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end_s - time.monotonic())

    def expired(self) -> bool:
        return self.remaining_s() <= 0.0
