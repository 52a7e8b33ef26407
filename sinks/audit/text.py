"""The result of an audit as text for people. Pure."""

from collections.abc import Sequence

from infra.audit.balance import Balance
from infra.replay.gaps import MissedByReplay

MAX_GAPS_NAMED = 20


def describe(balance: Balance, notes: list[str]) -> str:
    """A few lines: the counts, the coordinates of missing frames, the notes and the verdict."""
    rows = [
        ("frames", balance.frames, ""),
        ("labels", balance.labels, ""),
        ("dead letters", balance.dead, ""),
        ("missing" if balance.complete else "not found yet", balance.missing_count, ""),
        (
            "duplicates",
            balance.duplicates,
            "  further outcomes of the same frame, expected after a crash" * bool(balance.duplicates),
        ),
    ]
    if balance.expired:
        rows.insert(4, ("expired", balance.expired, "  removed by retention without an outcome"))
    width = max(len(f"{count:,}") for _, count, _ in rows)
    lines = [f"{name:<13} {count:>{width},}{remark}" for name, count, remark in rows]
    lines += [f"  {place} has no outcome" for place in missing_places(balance) if balance.complete]
    hidden = balance.missing_count - len(balance.missing)
    if hidden and balance.complete:
        lines.append(f"  and {hidden:,} more")
    lines += [f"note: {note}" for note in notes]
    return "\n".join([*lines, verdict(balance)])


def gap_notes(gaps: Sequence[MissedByReplay]) -> list[str]:
    """A sentence for each gap, up to a few of them, and how many more there are."""
    hidden = len(gaps) - MAX_GAPS_NAMED
    return [str(gap) for gap in gaps[:MAX_GAPS_NAMED]] + [f"and {hidden:,} more gaps of replays"] * (hidden > 0)


def verdict(balance: Balance) -> str:
    """The result in one sentence."""
    if not balance.complete:
        return "NOT proved: the time ran out before every outcome was read"
    faults = []
    if balance.missing_count:
        faults.append(f"{balance.missing_count:,} frames have no outcome")
    if balance.expired:
        faults.append(f"retention removed {balance.expired:,} frames that had no outcome")
    return f"NOT ok: {', and '.join(faults)}" if faults else "ok: every frame has its outcome"


def missing_places(balance: Balance) -> list[str]:
    """`frames.raw/3 offset 17`; consecutive offsets become one line: `frames.raw/3 offsets 17 to 25`."""
    runs: list[tuple[str, int, int]] = []
    for place in balance.missing:
        name = f"{place.topic}/{place.partition}"
        if runs and runs[-1][0] == name and runs[-1][2] == place.offset - 1:
            runs[-1] = (name, runs[-1][1], place.offset)
        else:
            runs.append((name, place.offset, place.offset))
    return [
        f"{name} offset {first}" if first == last else f"{name} offsets {first} to {last}" for name, first, last in runs
    ]
