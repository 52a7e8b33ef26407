"""The progress of a crawl: one line that changes on a terminal, a line now and then elsewhere. All on stderr."""

from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.process.progress import ProgressDisplay
from ingest.crawl.summary import Summary

SHOW_EVERY_S, LINE_EVERY_S = 0.2, 10.0


class Screen(ProgressDisplay):
    """Use as a context manager."""

    def __init__(self) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        super().__init__(*columns, line_every_s=LINE_EVERY_S, first_line_s=LINE_EVERY_S)

    def show(self, summary: Summary, active: int) -> None:
        self.update(line_of(summary, active))


def line_of(summary: Summary, active: int) -> str:
    """Pure."""
    refused, errors = sum(summary.refused.values()), sum(summary.errors.values())
    return (
        f"{summary.pages:,} pages, {summary.published:,} images published, {summary.repeated:,} repeated, "
        f"{refused:,} refused, {errors:,} errors; {active} requests under way, {summary.waiting:,} URLs wait"
    )
