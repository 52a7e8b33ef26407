"""The progress of a crawl: one line that changes on a terminal, a line now and then elsewhere. All on stderr."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ingest.crawl.summary import Summary

SHOW_EVERY_S, LINE_EVERY_S = 0.2, 10.0


class Screen:
    """Use as a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._line_s = time.monotonic()
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=self._console)
            self._task = self._bar.add_task("crawling", total=None)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, summary: Summary, active: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=line_of(summary, active))
        elif time.monotonic() - self._line_s >= LINE_EVERY_S:
            self._line_s = time.monotonic()
            self._console.print(line_of(summary, active), soft_wrap=True)


def line_of(summary: Summary, active: int) -> str:
    """Pure."""
    refused, errors = sum(summary.refused.values()), sum(summary.errors.values())
    return (
        f"{summary.pages:,} pages, {summary.published:,} images published, {summary.repeated:,} repeated, "
        f"{refused:,} refused, {errors:,} errors; {active} requests under way, {summary.waiting:,} URLs wait"
    )
