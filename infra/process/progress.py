"""What a long command is doing, on stderr: a bar that changes on a terminal, a plain line now and then elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn


class ProgressDisplay:
    """Use as a context manager. `columns` are those of the bar; `task.fields[more]` is the `more` of `update`.

    Plain lines come at most every `line_every_s`, the first not before `first_line_s` are over.
    """

    def __init__(self, *columns: ProgressColumn, line_every_s: float, first_line_s: float = 0.0) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("", total=None, more="")
        self._line_every_s, self._next_line_s = line_every_s, time.monotonic() + first_line_s
        self._last = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, what: str, more: str = "", done: float = 0.0, total: float | None = None) -> None:
        """What the bar or the next line says. A line that is the same as the last one is left out."""
        if not self._bar.disable:
            self._bar.update(self._task, description=what, completed=done, total=total, more=more)
            return
        now_s, line = time.monotonic(), f"{what}: {more}" if more else what
        if now_s >= self._next_line_s and line != self._last:
            self._console.print(line, soft_wrap=True)
            self._next_line_s, self._last = now_s + self._line_every_s, line
