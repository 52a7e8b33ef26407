"""Draws `dashboards.svg`: panels of the Grafana dashboards with what a real run exported.

`python -m docs.pictures.dashboards` draws it from `dashboards.json`; with the port of a Prometheus and a number of
seconds it first records that file anew, by the panels' own queries. A unit test compares picture and file.
"""

import json
import re
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from infra.monitoring.boards import DASHBOARDS
from infra.monitoring.panels import RATE, Panel

SVG = Path(__file__).with_suffix(".svg")
DATA = Path(__file__).with_suffix(".json")
# The panels of the picture, by dashboard and title, row by row.
SHOWN = (
    ("overview", "Frames from cameras"),
    ("overview", "Labels"),
    ("overview", "Capture to label"),
    ("overview", "What holds the pipeline back"),
    ("overview", "Oldest unread record"),
    ("lag", "Records that wait"),
    ("stages", "Frames in each queue"),
    ("stages", "Time of each step, p95"),
    ("stages", "Age of the newest settled frame"),
    ("cameras", "Up"),
    ("labels", "Labels by decision"),
    ("labels", "Confidence of the labels"),
)
STEP_S, RATE_INTERVAL = 2, "20s"
# Of the topics and groups of a test.
PREFIX = re.compile(r"^t-[0-9a-f]{8}-")
TITLE = "Panels of the Grafana dashboards, with what a run exported"
COLUMNS, WIDTH, HEIGHT, GAP, HEAD = 3, 350, 210, 12, 44
LEFT, TOP, RIGHT, BOTTOM = 46, 34, 12, 58
PLOT_W, PLOT_H = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
COLOURS = ("#3b7dd8", "#d9822b", "#2f9e62", "#b4489f", "#c93c37", "#8a7a2f", "#4aa3a2", "#7a6fd0")
STYLE = """
text { font: 11px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: #59636e }
.title { font-size: 13px; font-weight: 600; fill: #1f2328 }
.page { fill: #ffffff } .panel { fill: #f6f8fa; stroke: #d1d9e0 } .grid { stroke: #d1d9e0 }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round } .end { text-anchor: end }
@media (prefers-color-scheme: dark) {
text { fill: #9da7b1 } .title { fill: #e6edf3 }
.page { fill: #0d1117 } .panel { fill: #161b22; stroke: #3d444d } .grid { stroke: #3d444d }
}
"""
Series = tuple[str, list[float | None]]


def panels() -> list[Panel]:
    """Those that are shown."""
    found = {(board.name, panel.title): panel for board in DASHBOARDS for panel in board.panels}
    return [found[place] for place in SHOWN]


def record(port: int, seconds: int, end_s: float) -> None:
    """Writes what Prometheus knows of these panels, over so many seconds before `end_s`."""
    written = [[one for query in panel.queries for one in _asked(port, *query, seconds, end_s)] for panel in panels()]
    lines = ",\n".join(json.dumps(series, separators=(",", ":")) for series in written)
    DATA.write_text(f"[\n{lines}\n]\n")


def _asked(port: int, query: str, legend: str, seconds: int, end_s: float) -> Iterator[Series]:
    asked = query.replace(RATE, RATE_INTERVAL).replace("$source_id", ".*").replace("$group", ".*")
    words = {"query": asked, "start": end_s - seconds, "end": end_s, "step": STEP_S}
    url = f"http://127.0.0.1:{port}/api/v1/query_range?{urllib.parse.urlencode(words)}"
    with urllib.request.urlopen(url) as answer:
        results: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    for result in results:
        name = legend
        for label, value in result["metric"].items():
            name = name.replace(f"{{{{{label}}}}}", PREFIX.sub("", value))
        values = {round((at - end_s + seconds) / STEP_S): float(value) for at, value in result["values"]}
        known = [values.get(number) for number in range(seconds // STEP_S + 1)]
        yield name, [None if one is None or isnan(one) else float(f"{one:.4g}") for one in known]


def dashboards() -> str:
    """The picture."""
    rows = -(-len(SHOWN) // COLUMNS)
    width, height = COLUMNS * (WIDTH + GAP) + GAP, HEAD + rows * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<style>{STYLE}</style><rect class="page" width="{width}" height="{height}"/>',
        f'<text class="title" x="{GAP}" y="28">{TITLE}</text>',
    ]
    for number, (panel, series) in enumerate(zip(panels(), json.loads(DATA.read_text()), strict=True)):
        x, y = GAP + number % COLUMNS * (WIDTH + GAP), HEAD + number // COLUMNS * (HEIGHT + GAP)
        parts.append(f'<g transform="translate({x} {y})">')
        parts.append(f'<rect class="panel" width="{WIDTH}" height="{HEIGHT}" rx="4"/>')
        parts.append(f'<text class="title" x="12" y="21">{escape(panel.title)}</text>')
        parts += _plot(panel, [(name, values) for name, values in series])
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _plot(panel: Panel, series: list[Series]) -> Iterator[str]:
    seconds = (len(series[0][1]) - 1) * STEP_S if series else 0
    for text, x, place in (("0 s", LEFT, ""), (f"{seconds} s", LEFT + PLOT_W, ' class="end"')):
        yield f'<text{place} x="{x}" y="{TOP + PLOT_H + 14}">{text}</text>'
    if panel.kind == "heatmap":
        yield from _heat(series)
    elif all("== 1" in query for query, _ in panel.queries):
        yield from _states(series)
    else:
        yield from _lines(panel, series)


def _lines(panel: Panel, series: list[Series]) -> Iterator[str]:
    highest = max((one for _, values in series for one in values if one is not None), default=0.0) or 1.0
    for share in (0.0, 0.5, 1.0):
        y = TOP + PLOT_H * (1 - share)
        yield f'<path class="grid" d="M{LEFT} {y:.0f}h{PLOT_W}"/>'
        yield f'<text class="end" x="{LEFT - 5}" y="{y + 4:.0f}">{value_text(highest * share, panel.unit)}</text>'
    for number, (_, values) in enumerate(series):
        path, pen = [], "M"
        for at, one in enumerate(values):
            if one is not None:
                path.append(f"{pen}{_x(at, values)} {TOP + PLOT_H * (1 - one / highest):.1f}")
            pen = "M" if one is None else "L"
        yield f'<path class="line" stroke="{COLOURS[number % len(COLOURS)]}" d="{"".join(path)}"/>'
    yield from _legend([name for name, _ in series])


def _states(series: list[Series]) -> Iterator[str]:
    """A band for each state, where it holds."""
    for number, (_, values) in enumerate(series):
        y, colour = TOP + PLOT_H * (number + 0.5) / len(series), COLOURS[number % len(COLOURS)]
        step = PLOT_W / max(1, len(values) - 1)
        held = "".join(f"M{_x(at, values)} {y:.0f}h{step:.1f}" for at, one in enumerate(values[:-1]) if one is not None)
        yield f'<path stroke="{colour}" stroke-width="14" d="{held}"/>'
    yield from _legend([name for name, _ in series])


def _heat(series: list[Series]) -> Iterator[str]:
    """A histogram over time: the buckets are cumulative, and each is drawn without the ones below it."""
    buckets = sorted(((float(name), values) for name, values in series if name != "+Inf"), key=lambda one: one[0])
    below: list[float] = [0.0] * (len(buckets[0][1]) if buckets else 0)
    cells = []
    for number, (limit, values) in enumerate(buckets):
        present = [0.0 if one is None else one for one in values]
        cells += [(number, at, max(0.0, one - below[at])) for at, one in enumerate(present)]
        below = present
        y = TOP + PLOT_H * (1 - (number + 0.5) / len(buckets))
        if number % 2:
            yield f'<text class="end" x="{LEFT - 5}" y="{y + 4:.0f}">{limit:.2g}</text>'
    most = max((count for _, _, count in cells), default=0.0) or 1.0
    tall, wide = PLOT_H / max(1, len(buckets)), PLOT_W / max(1, len(below) - 1)
    for number, at, count in cells:
        if count / most > 0.02 and at < len(below) - 1:
            y = TOP + PLOT_H - (number + 1) * tall
            size = f'x="{LEFT + at * wide:.1f}" y="{y:.1f}" width="{wide + 0.3:.1f}" height="{tall - 0.6:.1f}"'
            yield f'<rect {size} fill="{COLOURS[1]}" opacity="{0.1 + 0.9 * count / most:.2f}"/>'
    yield from _legend(["labels by score"], COLOURS[1:])


def _legend(names: list[str], colours: Sequence[str] = COLOURS) -> Iterator[str]:
    """In lines below the plot; names that have no room there are left out."""
    x, y = 12, TOP + PLOT_H + 32
    for number, name in enumerate(names):
        wide = 16 + 7 * len(name)
        if x + wide > WIDTH:
            x, y = 12, y + 15
        if y > HEIGHT - 4:
            return
        yield f'<rect x="{x}" y="{y - 8}" width="8" height="8" fill="{colours[number % len(colours)]}"/>'
        yield f'<text x="{x + 12}" y="{y}">{escape(name)}</text>'
        x += wide + 8


def _x(at: int, values: list[float | None]) -> str:
    return f"{LEFT + PLOT_W * at / max(1, len(values) - 1):.1f}"


def value_text(value: float, unit: str) -> str:
    """A figure of an axis, as short as Grafana's."""
    if unit == "s" and 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g}" + {"s": " s", "reqps": "/s"}.get(unit, "")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        record(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    SVG.write_text(dashboards())
