"""The pictures and lines that the demo shows: the live table, the progress line and the summary. Pure."""

from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from infra.lag.table import bottleneck_line
from infra.process.text import printable
from schemas.records import Decision
from sinks.base.label_text import latency_text
from sinks.demo.stats import CameraStats, DemoStats

MAX_ROWS = 24
BAR_WIDTH = 10
SHOWN_NAMES = 6


def live_picture(stats: DemoStats, elapsed_s: float, subtitle: str) -> RenderableType:
    """The live table with all present figures."""
    return Group(
        Panel(
            Group(_cameras(stats), Text(), _figures(stats), *_verdict(stats)),
            title=f"[bold]Sightline demo[/]  {clock(elapsed_s)}",
            title_align="left",
            subtitle=subtitle,
            subtitle_align="left",
            border_style="cyan",
            padding=(1, 2),
        )
    )


def _cameras(stats: DemoStats) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=False)
    table.add_column("camera", no_wrap=True, overflow="ellipsis", max_width=32)
    table.add_column("frames/s", justify="right", no_wrap=True)
    table.add_column("labels", justify="right", no_wrap=True)
    table.add_column("last label", no_wrap=True, overflow="ellipsis", min_width=20, max_width=36)
    table.add_column("probability", no_wrap=True)
    table.add_column("latency", justify="right", no_wrap=True)
    for source_id, camera in sorted(stats.cameras.items())[:MAX_ROWS]:
        table.add_row(Text(printable(source_id)), f"{camera.fps:.1f}", f"{camera.labels:,}", *_last(camera))
    if len(stats.cameras) > MAX_ROWS:
        table.add_row(Text(f"and {len(stats.cameras) - MAX_ROWS} more", style="dim"))
    return table


def _last(camera: CameraStats) -> tuple[RenderableType, RenderableType, str]:
    label = camera.last
    if label is None or not label.predictions:
        return Text("waiting for the first label" if label is None else "-", style="dim"), "", ""
    best = label.predictions[0]
    style = "green" if label.decision is Decision.ACCEPTED else "yellow"
    filled = round(best.probability * BAR_WIDTH)
    bar = Text("━" * filled, style=style) + Text("━" * (BAR_WIDTH - filled), style="bright_black")
    return (
        Text(printable(best.name), style=f"bold {style}"),
        bar + Text(f" {best.probability:>4.0%}"),
        latency_text((label.labelled_at - label.captured_at) / 1000),
    )


def _figures(stats: DemoStats) -> Table:
    grid = Table.grid(padding=(0, 4, 0, 0))
    latency = " / ".join(quantile_texts(stats))
    grid.add_row(
        _figure("pipeline", f"{stats.labelled.per_s():.1f} frames/s"),
        _figure("capture to label p50/p95/p99", latency),
    )
    grid.add_row(
        _figure("cache hits", f"{stats.cache_share():.0%}"),
        _figure("on their way", f"{stats.lag():,} frames"),
    )
    grid.add_row(
        _figure("labels", f"{stats.labels:,}"),
        _figure("dead letters", f"{stats.dead:,}", "red" if stats.dead else ""),
    )
    return grid


def _verdict(stats: DemoStats) -> list[RenderableType]:
    """One line: the stage that holds the pipeline back, and why."""
    if stats.bottleneck is None:
        return []
    style = "" if stats.bottleneck.stage == "none" else "yellow"
    return [Text(), Text(printable(bottleneck_line(stats.bottleneck)), style=style)]


def _figure(name: str, value: str, style: str = "") -> Text:
    return Text(f"{name} ", style="dim") + Text(value, style=f"bold {style}".strip())


def quantile_texts(stats: DemoStats) -> list[str]:
    values = [stats.latency.quantile_ms(share) for share in (0.5, 0.95, 0.99)]
    return ["-" if value is None else latency_text(value) for value in values]


def progress_line(stats: DemoStats, elapsed_s: float) -> str:
    """One line for a log: `00:20  18.9 frames/s  p95 140 ms ...  sim-coffee espresso 94 %`."""
    p50, p95, p99 = quantile_texts(stats)
    newest = [
        (source_id, camera.last.predictions[0])
        for source_id, camera in sorted(stats.cameras.items())[:8]
        if camera.last is not None and camera.last.predictions
    ]
    shown = "  ".join(
        f"{printable(source_id)} {printable(best.name)} {best.probability:.0%}" for source_id, best in newest
    )
    return (
        f"{clock(elapsed_s)}  {stats.labelled.per_s():5.1f} frames/s  p50 {p50}, p95 {p95}, p99 {p99}  "
        f"cache {stats.cache_share():.0%}  on their way {stats.lag()}  dead {stats.dead}{_held_by(stats)}  | {shown}"
    )


def _held_by(stats: DemoStats) -> str:
    """The verdict where a stage holds the pipeline back, for a line of a log."""
    found = stats.bottleneck
    return "" if found is None or found.stage == "none" else f"  {printable(bottleneck_line(found))}"


def describe(result: dict[str, Any], notes: list[str]) -> RenderableType:
    """The summary as a picture for people."""
    latency, cache = result["latency_ms"], result["cache"]
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_row("frames", f"{result['frames']:,}", Text(f"{result['frames_per_s']:.1f} a second", style="dim"))
    grid.add_row("labels", f"{result['labels']:,}", Text(_cache_text(cache), style="dim"))
    grid.add_row("dead letters", f"{result['dead']:,}", "")
    if latency["p50"] is not None:
        shown = " / ".join(latency_text(latency[name]) for name in ("p50", "p95", "p99"))
        grid.add_row("latency", shown, Text("capture to label, p50 / p95 / p99", style="dim"))
    parts: list[RenderableType] = [Text(), grid]
    if result["top"]:
        names = ", ".join(f"{printable(entry['name'])} ({entry['count']:,})" for entry in result["top"][:SHOWN_NAMES])
        parts += [Text(), Text(f"most seen: {names}")]
    parts += [Text(f"note: {note}", style="yellow") for note in notes]
    if result["accounted"]:
        parts += [Text(), Text("✓ every frame is accounted for", style="bold green")]
    else:
        parts += [Text(), Text("✗ not every frame is accounted for", style="bold red")]
    return Group(*parts)


def _cache_text(cache: dict[str, int]) -> str:
    return f"{cache['miss']:,} by the model, {cache['exact'] + cache['near']:,} from the cache"


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"
