"""The output of the demo: a live picture on a terminal, plain lines elsewhere."""

import sys
import termios
import time
from collections.abc import Callable
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.status import Status

from sinks.demo.stats import DemoStats
from sinks.demo.view import describe, live_picture, progress_line

LINE_EVERY_S = 5.0
# The index, in the result of tcgetattr, of the flags that contain ECHOCTL.
_LOCAL_MODES = 3


class Screen(Protocol):
    def step(self, text: str) -> None:
        """Show the step that runs now. A step takes seconds."""

    def waiting(self, text: str) -> None:
        """Show what the present step waits for. Called often."""

    def show(self, stats: DemoStats, elapsed_s: float, hint: str) -> None:
        """Show the present figures. Called often."""

    def summary(self, result: dict[str, Any], notes: list[str]) -> None:
        """Show the result of the run."""

    def close(self) -> None:
        """Restore the terminal."""


def screen_for(as_json: bool) -> Screen:
    """The screen on stdout; with `as_json` on stderr, because stdout then holds only the summary."""
    console = Console(stderr=as_json, highlight=False)
    return LiveScreen(console) if console.is_terminal else PlainScreen(console)


class PlainScreen:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown_s = float("-inf")
        self._told = ("", 0.0)
        # The newest figures that were not printed yet.
        self._latest: tuple[DemoStats, float] | None = None

    def step(self, text: str) -> None:
        if self._latest is not None:
            self._line(progress_line(*self._latest))
            self._latest = None
        self._line(text)
        self._told = ("", time.monotonic())

    def waiting(self, text: str) -> None:
        told, told_s = self._told
        if text != told and time.monotonic() - told_s >= LINE_EVERY_S:
            self._line(f"  {text}")
            self._told = (text, time.monotonic())

    def show(self, stats: DemoStats, elapsed_s: float, hint: str) -> None:
        if elapsed_s - self._shown_s < LINE_EVERY_S:
            self._latest = (stats, elapsed_s)
            return
        if self._shown_s < 0:
            self._line(hint)
        self._shown_s, self._latest = elapsed_s, None
        self._line(progress_line(stats, elapsed_s))

    def summary(self, result: dict[str, Any], notes: list[str]) -> None:
        self._console.print(describe(result, notes))

    def close(self) -> None:
        pass

    def _line(self, text: str) -> None:
        # Without wrapping, so that each message stays one line in a log file.
        self._console.print(text, markup=False, soft_wrap=True)


class LiveScreen:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._status: Status | None = None
        self._step: tuple[str, float] | None = None
        self._restore = _hide_control_keys()

    def step(self, text: str) -> None:
        self._end_live()
        self._end_step()
        self._step = (text, time.monotonic())
        self._status = self._console.status(text)
        self._status.start()

    def waiting(self, text: str) -> None:
        if self._status is not None and self._step is not None:
            self._status.update(f"{self._step[0]} [dim]({escape(text)})[/]")

    def show(self, stats: DemoStats, elapsed_s: float, hint: str) -> None:
        self._end_step()
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(live_picture(stats, elapsed_s, hint), refresh=True)

    def summary(self, result: dict[str, Any], notes: list[str]) -> None:
        self.close()
        self._console.print(describe(result, notes))

    def close(self) -> None:
        self._end_live()
        self._end_step()
        self._restore()

    def _end_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _end_step(self) -> None:
        if self._status is not None and self._step is not None:
            self._status.stop()
            text, started_s = self._step
            self._console.print(f"[green]✓[/] {text} [dim]{time.monotonic() - started_s:.1f} s[/]")
        self._status = self._step = None


def _hide_control_keys() -> Callable[[], None]:
    """Keep the terminal from echoing `^C`, which would break the live picture. Returns the function that undoes it."""
    try:
        kept = termios.tcgetattr(sys.stdin.fileno())
        changed = list(kept)
        changed[_LOCAL_MODES] &= ~termios.ECHOCTL
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, changed)
    except (termios.error, OSError, ValueError):
        return lambda: None
    return lambda: termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, kept)
