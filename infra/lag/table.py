"""The reports as a table for people. Pure."""

from collections.abc import Mapping, Sequence

from rich.console import Group
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
BARS = "▁▂▃▄▅▆▇█"


def lag_view(
    reports: Sequence[GroupReport],
    bottleneck: Bottleneck | None = None,
    history: Mapping[str, Sequence[int]] | None = None,
) -> Group:
    """The table, and a line below it that says what holds the pipeline back."""
    table = lag_table(reports, history)
    return Group(table) if bottleneck is None else Group(table, Text(""), Text(bottleneck_line(bottleneck)))


def bottleneck_line(found: Bottleneck) -> str:
    """`bottleneck: infer (finishes 60.0 of 100.0 frames/s; stream waits for it), 10,000 frames wait`."""
    if found.stage == "none":
        return "bottleneck: none, labels keep up"
    waiting = f", {found.waiting_frames:,} frames wait" if found.waiting_frames else ""
    eta = f", caught up in {duration(found.eta_s)}" if found.eta_s is not None else ""
    return f"bottleneck: {found.stage} ({found.why}){waiting}{eta}"


def lag_table(reports: Sequence[GroupReport], history: Mapping[str, Sequence[int]] | None = None) -> Table:
    """The groups, the worst first. With `history`, the lags of the last looks by group, a sparkline of each."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("group", overflow="fold")
    table.add_column("status")
    table.add_column("lag", justify="right")
    if history is not None:
        table.add_column("trend")
    table.add_column("oldest waits", justify="right")
    table.add_column("caught up in", justify="right")
    table.add_column("members", justify="right")
    table.add_column("why", overflow="fold", ratio=1)
    for report in sorted(reports, key=lambda one: (-one.status, -one.total_lag, one.group)):
        trend = [sparkline(history.get(report.group, ()))] if history is not None else []
        table.add_row(
            printable(report.group),
            Text(str(report.status), STYLES.get(report.status, "bold red")),
            f"{report.total_lag:,}",
            *trend,
            waits(report.lag_s, report.lag_s_kind),
            duration(report.eta_s),
            "?" if report.members is None else str(report.members),
            Text(printable(report.cause)),
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
