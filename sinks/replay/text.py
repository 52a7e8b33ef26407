"""A comparison and a promotion for people in a terminal. Pure."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from infra.process.text import printable
from infra.replay.result import Diff, Side
from sinks.replay.promote import Promotion

MAX_ROWS = 10
BAR_CELLS = 20


def diff_view(found: Diff) -> Group:
    """The agreement in a line, what of it is noise, then pairs of classes, sources and decisions."""
    return Group(*_lines(found))


def _lines(found: Diff) -> Iterator[RenderableType]:
    share = f" ({found.same / found.frames:.2%})" if found.frames else ""
    yield Text(
        printable(f"replay {found.replay_id}: {found.frames:,} frames, {found.same:,} the same{share}, ")
        + f"{found.changed:,} changed",
        style="bold",
    )
    if found.frames:
        low, high = found.interval
        yield Text(
            f"changed beyond noise: {found.share_beyond_noise:.2%} (95 %: {low:.2%} to {high:.2%}), "
            f"{found.changed_beyond_noise:,} frames",
            style="yellow" if low > 0 else "green",
        )
        noise = f"{found.noise.changed:,} of {found.noise.of:,} changed" if found.noise.of else "not known"
        yield Text(f"noise of the same run twice: {noise}")
        yield _sides(found)
    if found.pairs:
        yield Text()
        yield _pairs(found)
    if found.cameras:
        yield Text()
        yield _cameras(found)
    for note in found.notes:
        yield Text(printable(f"note: {note}"), style="dim")


def _sides(found: Diff) -> Table:
    table = _table("", "#accepted", "#review", "#dead", "#probability", "#only here")
    for name, side in (("live", found.live), ("replay", found.replay)):
        table.add_row(name, *_counts(side), f"{side.lone + side.lone_dead:,}")
    return table


def _counts(side: Side) -> list[str]:
    total = side.accepted + side.review + side.dead
    counts = [f"{count:,} ({count / total:.1%})" if total else "0" for count in (side.accepted, side.review, side.dead)]
    return [*counts, "-" if side.confidence is None else f"{side.confidence:.3f}"]


def _pairs(found: Diff) -> Table:
    table = _table("live", "replay", "#frames", "")
    most = found.pairs[0].count
    for pair in found.pairs[:MAX_ROWS]:
        bar = "█" * round(BAR_CELLS * pair.count / most)
        table.add_row(Text(printable(pair.from_name)), Text(printable(pair.to_name)), f"{pair.count:,}", bar)
    _more(table, found.pairs_count - MAX_ROWS, 3)
    return table


def _cameras(found: Diff) -> Table:
    table = _table("source", "#changed", "#of", "#share")
    for each in found.cameras[:MAX_ROWS]:
        table.add_row(
            Text(printable(each.source_id)), f"{each.changed:,}", f"{each.of:,}", f"{each.changed / each.of:.1%}"
        )
    _more(table, found.cameras_moved - MAX_ROWS, 3)
    return table


def _table(*heads: str) -> Table:
    """Heads that begin with # stand over numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for head in heads:
        justify: JustifyMethod = "right" if head.startswith("#") else "left"
        table.add_column(head.removeprefix("#"), justify=justify, overflow="fold")
    return table


def _more(table: Table, count: int, empty: int) -> None:
    if count > 0:
        table.add_row(f"and {count:,} more", *[""] * empty, style="dim")


def promotion_json(result: Promotion, *, execute: bool) -> dict[str, Any]:
    """The object of `replay promote --json`. Its keys are a contract."""
    return {"executed": execute, **asdict(result)}


def promotion_text(result: Promotion, *, execute: bool) -> str:
    """The lines of `replay promote` without --json."""
    done = f"promoted {result.promoted:,} of" if execute else "would promote"
    lines = [
        f"{done} {result.chosen:,} changed labels of replay {printable(result.replay_id)} as corrections "
        f"({result.changed:,} of {result.frames:,} frames changed)"
    ]
    if execute and result.review:
        lines.append(f"{result.review:,} of them are for review too")
    if result.already:
        lines.append(f"left out {result.already:,}: promoted before")
    if result.overruled:
        lines.append(f"left out {result.overruled:,}: another replay has corrected them since")
    if result.dead:
        lines.append(f"left alone {result.dead:,}: the replay could not label them, so their live label stays")
    if result.gone:
        lines.append(f"gone {result.gone:,}: retention has removed the replay's labels")
    if result.unanswered:
        lines.append(
            f"note: {result.unanswered:,} frames of the replay have no outcome yet; promote again for the rest"
        )
    if not execute and result.chosen:
        lines.append("nothing was written: add --execute to do it")
    return "\n".join(lines)
