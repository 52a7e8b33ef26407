"""The comparison as one HTML page that asks no other host for anything: styles inside, pictures as data URIs. Pure.

A Content-Security-Policy forbids every request, every script, and every style but the one with this hash. Every text of
a label is escaped. Bars are SVG, whose sizes are attributes and no styles.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from infra.process.text import printable
from infra.replay.result import Answer, Diff, Example, Side
from schemas.records import Micros, micros_to_iso
from schemas.replays import ReplayProgress
from sinks.replay.charts import bar, histogram, interval, shares

STYLE = (Path(__file__).parent / "report.css").read_text()
MAX_ROWS = 25


def page(found: Diff, progress: ReplayProgress, pictures: Sequence[bytes | None]) -> str:
    """The whole document, in ASCII but for what names hold. `pictures`: a JPEG or None for each example."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = f"Replay {_text(found.replay_id)}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">',
            f"<title>{title}</title><style>{STYLE}</style></head><body><main>",
            f"<h1>{title}</h1>",
            f'<p class="soft">{_subtitle(progress)}</p>',
            _cards(found),
            f'<div class="two">{_decisions(found)}{_confidence(found)}</div>',
            _pairs(found),
            _cameras(found),
            _examples(found.examples, pictures),
            _notes(found),
            "</main></body></html>\n",
        ]
    )


def _subtitle(progress: ReplayProgress) -> str:
    parts = [
        f"{progress.topic}, {_time(progress.from_at)} to {_time(progress.to_at)}",
        f"sources {progress.source_glob}" if progress.source_glob else "",
        f"model {progress.model}" if progress.model else "",
        f"{progress.copied:,} frames, {progress.state.value}",
    ]
    return _text(" · ".join(filter(None, parts)))


def _cards(found: Diff) -> str:
    low, high = found.interval
    agreement = f"{found.same / found.frames:.2%}" if found.frames else "-"
    noise = f"{found.noise.changed / found.noise.of:.2%}" if found.noise.of else "not known"
    method = "Newcombe" if found.noise.of else "Wilson"
    cards = [
        (agreement, f"agree: {found.same:,} of {found.frames:,} frames", ""),
        (f"{found.changed:,}", f"changed: {found.changed_class:,} in class, {found.changed_decision:,} in decision, "
         f"{found.changed_outcome:,} dead letters on one side", ""),
        (noise, f"noise: {found.noise.changed:,} of {found.noise.of:,} changed when the same was run twice", ""),
        (f"{found.share_beyond_noise:.2%}", f"changed beyond noise (95 %: {low:.2%} to {high:.2%}, {method})",
         interval(found.share_beyond_noise, low, high)),
    ]  # fmt: skip
    made = (
        f'<div class="card"><div class="value">{_text(value)}</div><div class="what">{_text(what)}</div>{chart}</div>'
        for value, what, chart in cards
    )
    return f'<div class="cards">{"".join(made)}</div>'


def _decisions(found: Diff) -> str:
    rows = []
    for name, side in (("live", found.live), ("replay", found.replay)):
        total = side.accepted + side.review + side.dead
        told = ", ".join(
            f"{count:,} {word} ({count / total:.1%})"
            for word, count in (("accepted", side.accepted), ("for review", side.review), ("dead", side.dead))
            if total and (count or word != "dead")
        )
        chart = shares([(side.accepted, "fill-good"), (side.review, "fill-changed"), (side.dead, "fill-line")])
        rows.append([f'<span class="side"><span class="dot {name}"></span>{name}</span>', chart, _text(told)])
    moves = [[_text(before.lower()), _text(after.lower()), _number(count)] for before, after, count in found.decisions]
    moved = _table(["from", "to", "#frames"], moves) if moves else '<p class="soft">No decision changed.</p>'
    return f"<section><h2>Decisions</h2>{_table(['', '', ''], rows)}{moved}</section>"


def _confidence(found: Diff) -> str:
    means = " ".join(
        f'<span class="dot {name}"></span>{name} {_mean(side)}'
        for name, side in (("live", found.live), ("replay", found.replay))
    )
    shift = "" if found.shift is None else f" · where the class stayed, it moved by {found.shift:+.4f} on the mean"
    chart = histogram(found.live.histogram, found.replay.histogram)
    return f'<section><h2>Probability of the best class</h2>{chart}<p class="soft">{means}{_text(shift)}</p></section>'


def _mean(side: Side) -> str:
    return "-" if side.confidence is None else f"{side.confidence:.3f} on the mean"


def _pairs(found: Diff) -> str:
    most = max((pair.count for pair in found.pairs), default=1)
    rows = [
        [
            _class(pair.from_id, pair.from_name),
            _class(pair.to_id, pair.to_name),
            _number(pair.count),
            bar(pair.count / most),
        ]
        for pair in found.pairs[:MAX_ROWS]
    ]
    more = found.pairs_count - len(rows)
    return _section("Changed classes", ["live", "replay", "#frames", "bar"], rows, more, "No class changed.")


def _cameras(found: Diff) -> str:
    rows = [
        [
            _text(each.source_id),
            _number(each.changed),
            _number(each.of),
            f"{each.changed / each.of:.1%}",
            bar(each.changed / each.of),
        ]
        for each in found.cameras[:MAX_ROWS]
    ]
    heads = ["source", "#changed", "#frames", "#share", "bar"]
    return _section("Most moved sources", heads, rows, found.cameras_moved - len(rows), "No source moved.")


def _examples(examples: Sequence[Example], pictures: Sequence[bytes | None]) -> str:
    if not examples:
        return ""
    figures = "".join(_figure(*pair) for pair in zip(examples, pictures, strict=True))
    return f'<section><h2>Examples</h2><div class="examples">{figures}</div></section>'


def _figure(example: Example, picture: bytes | None) -> str:
    if picture is None:
        shown = '<div class="nothing">the picture is gone</div>'
    else:
        data = base64.b64encode(picture).decode()
        shown = f'<img alt="the frame {_text(example.frame_id)}" src="data:image/jpeg;base64,{data}">'
    place = _text(f"{example.source_id} · {_time(example.captured_at)} · {example.source}")
    return (
        f"<figure>{shown}<figcaption>{_answer('live', example.live)}{_answer('replay', example.replay)}"
        f'<span class="soft">{place}</span></figcaption></figure>'
    )


def _answer(side: str, answer: Answer) -> str:
    sure = "" if answer.probability is None else f" {answer.probability:.1%}"
    reason = f" ({answer.reason})" if answer.reason else ""
    return (
        f'<div><span class="dot {side}"></span><b>{_text(answer.name)}</b>{sure}, '
        f"{_text(answer.decision.lower() + reason)}</div>"
    )


def _notes(found: Diff) -> str:
    lone = [
        (found.replay.lone + found.replay.lone_dead, "frames have an outcome only on the replay's side"),
        (found.live.lone + found.live.lone_dead, "frames have an outcome only on the live side"),
    ]
    notes = [f"{count:,} {text}" for count, text in lone if count] + found.notes
    return f"<footer>{''.join(f'<p>{_text(note)}</p>' for note in notes)}</footer>"


def _section(title: str, heads: list[str], rows: list[list[str]], more: int, nothing: str) -> str:
    body = _table(heads, rows) if rows else f'<p class="soft">{nothing}</p>'
    rest = f'<p class="soft">and {more:,} more</p>' if more > 0 else ""
    return f"<section><h2>{title}</h2>{body}{rest}</section>"


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    """Heads that begin with # stand over numbers; the head `bar` over a chart. Cells are HTML already."""
    kinds = ["number" if head.startswith("#") else "bar" if head == "bar" else "" for head in heads]
    top = "".join(
        f'<th class="{kind}">{"" if head == "bar" else head.lstrip("#")}</th>'
        for head, kind in zip(heads, kinds, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _class(class_id: str | None, name: str) -> str:
    return _text(name) + (f' <span class="soft">{_text(class_id)}</span>' if class_id not in (None, name) else "")


def _number(count: int) -> str:
    return f"{count:,}"


def _time(micros: Micros) -> str:
    """`2026-11-26 12:00:00 UTC`; the number itself where no calendar has that time."""
    text = micros_to_iso(micros)
    return f"{text[:19].replace('T', ' ')} UTC" if text.endswith("Z") else text


def _text(text: str | None) -> str:
    return escape(printable(text or ""))
