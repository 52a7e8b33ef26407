"""`sightline lag --watch`: a table worth leaving open."""

import time
from collections import deque
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.live import Live

from infra.lag.reports import GroupReport
from infra.lag.rules.bottleneck import Bottleneck
from infra.lag.table import WIDE_SPARKS, LagView
from schemas.errors import SightlineError


def watch_lag(
    look: Callable[[], list[GroupReport]],
    judge: Callable[[Sequence[GroupReport]], Bottleneck] | None,
    interval_s: float,
) -> None:
    """Look again and again until Ctrl-C; the last table stays on the screen. An outage is told in its place."""
    console = Console(highlight=False)
    history: dict[str, deque[int]] = {}
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                try:
                    reports = look()
                    bottleneck = judge(reports) if judge is not None else None
                except SightlineError as error:
                    live.update(f"{time.strftime('%H:%M:%S')} {error}", refresh=True)
                else:
                    history = remembered(history, reports)
                    live.update(LagView(reports, bottleneck, history), refresh=True)
                time.sleep(interval_s)
        except KeyboardInterrupt:
            return


def remembered(history: dict[str, deque[int]], reports: Sequence[GroupReport]) -> dict[str, deque[int]]:
    """The lags of the last looks by group, with those of this one; groups that are gone are forgotten. Pure."""
    found = {report.group: history.get(report.group, deque[int](maxlen=WIDE_SPARKS)) for report in reports}
    for report in reports:
        found[report.group].append(report.total_lag)
    return found
