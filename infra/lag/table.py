"""The reports as a table for people. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from infra.lag.reports import GroupReport
from infra.lag.rules.bottleneck import Bottleneck
from infra.lag.rules.lag_time import LagTimeKind
from infra.lag.rules.status import LagStatus
from infra.process.text import printable

STYLES = {
    LagStatus.OK: "green",
    LagStatus.WARN: "yellow",
    LagStatus.NOTFOUND: "dim",
}
# Columns of a terminal from which on the reasons stand in the table.
WIDE = 120
WIDE_SPARKS, NARROW_SPARKS = 24, 10
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class LagView:
    """The table, and lines below it: in a narrow terminal why groups are late, and what holds the pipeline back."""

    reports: Sequence[GroupReport]
    bottleneck: Bottleneck | None = None
    history: Mapping[str, Sequence[int]] | None = None

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        reports = sorted(self.reports, key=lambda one: (-one.status, -one.total_lag, one.group))
        is_wide = options.max_width >= WIDE
        yield lag_table(reports, self.history, is_wide=is_wide)
        reasons = [] if is_wide else [reason_line(report) for report in reports if report.cause]
        yield from [Text(""), *reasons] if reasons else []
        yield from [Text(""), Text(bottleneck_line(self.bottleneck))] if self.bottleneck is not None else []


def bottleneck_line(found: Bottleneck) -> str:
    """`bottleneck: infer (finishes 60.0 of 100.0 frames/s; stream waits for it), 10,000 frames wait`."""
    if found.stage == "none":
        return "bottleneck: none, labels keep up"
    waiting = f", {found.waiting_frames:,} frames wait" if found.waiting_frames else ""
    eta = f", caught up in {duration(found.eta_s)}" if found.eta_s is not None else ""
    return f"bottleneck: {found.stage} ({found.why}){waiting}{eta}"


def reason_line(report: GroupReport) -> Text:
    """`sightline-stream: falls behind by 12 a second`."""
    return Text.assemble((printable(report.group), style_of(report)), f": {printable(report.cause)}")


def style_of(report: GroupReport) -> str:
    return STYLES.get(report.status, "bold red")


def lag_table(
    reports: Sequence[GroupReport], history: Mapping[str, Sequence[int]] | None = None, *, is_wide: bool = True
) -> Table:
    """A row for each group. With `history`, the lags of the last looks by group, a sparkline of each.

    Figures stay on one line. A table that is not `is_wide` has no column of reasons.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("group", overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("lag", justify="right", no_wrap=True)
    if history is not None:
        table.add_column("trend", no_wrap=True)
    for header in ("oldest\nwaits", "caught\nup in", "members"):
        table.add_column(header, justify="right", no_wrap=True)
    if is_wide:
        table.add_column("why", overflow="fold", ratio=1)
    for report in reports:
        sparks = (history or {}).get(report.group, ())
        table.add_row(
            printable(report.group),
            Text(str(report.status), style_of(report)),
            f"{report.total_lag:,}",
            *([sparkline(list(sparks)[-(WIDE_SPARKS if is_wide else NARROW_SPARKS) :])] if history is not None else []),
            waits(report.lag_s, report.lag_s_kind),
            duration(report.eta_s),
            "?" if report.members is None else str(report.members),
            *([Text(printable(report.cause))] if is_wide else []),
        )
    return table


def sparkline(values: Sequence[int]) -> str:
    """A bar for each value, the highest being the largest; the lowest bar is zero."""
    highest = max(values, default=0)
    return "".join(BARS[(len(BARS) - 1) * value // highest] if highest else BARS[0] for value in values)


def waits(lag_s: float | None, kind: LagTimeKind) -> str:
    """`3.2 s`; with `≥` where it may be longer, `~` where it is guessed, nothing where nothing waits."""
    sign = {LagTimeKind.BOUND: "≥ ", LagTimeKind.INTERPOLATED: "~ "}.get(kind, "")
    return f"{sign}{duration(lag_s)}" if lag_s is not None else ""


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min`, `2.5 h`, `4 d`; nothing for None."""
    if seconds is None:
        return ""
    for limit_s, unit_s, unit in ((10, 1, "s"), (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit_s:
            return f"{seconds / unit_s:.1f} {unit}" if seconds < 10 * unit_s else f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
