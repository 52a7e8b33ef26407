"""The life of a frame for people. Pure."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.process.text import printable
from schemas.headers import replay_of
from schemas.records import Label
from sinks.explain.life import Life, State, steps, took_ms, took_text, verdict

STYLES = {
    State.LABELLED: "green",
    State.DEAD: "red",
    State.WAITS: "yellow",
    State.MISSING: "bold red",
    State.UNKNOWN: "yellow",
}
BAR_CELLS = 20


def life_view(life: Life) -> Group:
    """What became of it in a line, its way with the time of each step, and what the decision was made of."""
    state, sentence = verdict(life)
    return Group(_title(life), Text(printable(sentence), style=STYLES[state]), Text(), _way(life), *_more(life))


def _title(life: Life) -> Text:
    title = Text(printable(str(life.place)), style="bold")
    if life.frame_id is not None:
        title.append(f"  frame {printable(life.frame_id)}", style="not bold")
    frame = life.frame.frame
    if frame is not None:
        title.append(f"  {frame.encoding.value}, {len(frame.image):,} bytes", style="not bold dim")
    return title


def _way(life: Life) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("when", "step"):
        table.add_column(name, no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("")
    way = steps(life)
    for step, took in zip(way, took_ms(way), strict=True):
        table.add_row(
            Text("not known", style="dim") if step.at_ms is None else Text(_clock(step.at_ms)),
            Text(step.name),
            Text("" if took is None else took_text(took), style="red" if took is not None and took < 0 else ""),
            Text(printable(step.note), style="dim"),
        )
    return table


def _more(life: Life) -> Iterator[RenderableType]:
    if life.findings.valid is not None:
        yield Text()
        yield _decision(life.findings.valid.label)
    for found in life.findings.replays:
        label = found.label
        best = label.predictions[0].name if label.predictions else "no prediction"
        name = (
            f"replay {label.replay_id}: {best}, {label.decision.lower()}, by {label.model.name} {label.model.version}"
        )
        yield Text(printable(f"{name} ({found.at})"))
    repeated = replay_of(life.frame.record.headers) if life.frame.record else None
    if repeated is not None:
        yield Text(printable(f"repeats {repeated}"))
    for note in life.notes:
        yield Text(printable(f"note: {note}"), style="dim")


def _decision(label: Label) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for number, each in enumerate(label.predictions[:5]):
        bar = "█" * round(each.probability * BAR_CELLS) if 0 <= each.probability <= 1 else ""
        table.add_row(
            "" if number else "label", Text(f"{each.probability:6.1%} {bar:<{BAR_CELLS}} {printable(each.name)}")
        )
    table.add_row("score", Text(printable(score_text(label))))
    quality = label.quality
    flags = f"; {', '.join(quality.flags)}" if quality.flags else ""
    figures = f"blur {quality.blur:.0f}, brightness {quality.brightness:.0f}, contrast {quality.contrast:.0f}{flags}"
    table.add_row("quality", Text(printable(figures)))
    return table


def score_text(label: Label) -> str:
    """`0.912 (probability) against 0.35: accepted`."""
    reason = f", {label.reason}" if label.reason else ""
    if label.threshold is None:
        return f"not told by the version that wrote the label: {label.decision.lower()}{reason}"
    score = "none" if label.score is None else f"{label.score:.3f}"
    return f"{score} ({label.score_kind}) against {label.threshold:g}: {label.decision.lower()}{reason}"


def _clock(milliseconds: float) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return str(round(milliseconds))
