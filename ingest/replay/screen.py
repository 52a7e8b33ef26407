"""The progress of a replay while one looks: a bar with the time that is left on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from infra.process.text import printable
from ingest.replay.text import mb
from schemas.replays import ReplayProgress

SHOW_EVERY_S, LINE_EVERY_S = 0.2, 5.0


class Screen:
    """Use as a context manager; everything goes to stderr, because stdout holds the result."""

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._console, self._line_s, self._shown_s = console, 0.0, 0.0
        self._last = ""
        if console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} % {task.fields[more]}"),
                TimeRemainingColumn(compact=True, elapsed_when_finished=True),
                console=console,
            )
            self._task = self._bar.add_task("", total=None, more="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: ReplayProgress, labelled: int | None = None) -> None:
        """Called very often. `labelled`: frames with an outcome, where those are waited for."""
        now_s = time.monotonic()
        if now_s - self._shown_s < SHOW_EVERY_S and not progress.state.is_final:
            return
        self._shown_s = now_s
        done, total = done_of(progress) if labelled is None else (labelled, progress.copied)
        what = f"{progress.replay_id} {progress.state if labelled is None else 'labels'}"
        more = f"{done:,} of {total:,} frames, {mb(progress.copied_bytes)} {printable(progress.reason or '')}".rstrip()
        if self._bar is not None:
            self._bar.update(self._task, description=what, completed=done, total=max(1, total), more=more)
        elif now_s - self._line_s >= LINE_EVERY_S and (line := f"{what}: {more}") != self._last:
            self._console.print(line, soft_wrap=True)
            self._line_s, self._last = now_s, line


def done_of(progress: ReplayProgress) -> tuple[int, int]:
    """Frames copied, and how many there are; of an estimate that was too low, what was copied. Pure."""
    noise = 2 * min(progress.noise, progress.plan.frames)
    done = progress.copied + progress.noise_copied
    is_done = progress.state.is_final
    return done, done if is_done else max(progress.plan.frames + noise, done)
