"""An audit's result for people. Pure."""

from sinks.ledger import Balance


def describe(balance: Balance, notes: list[str]) -> str:
    """A few lines: the account, the missing coordinates, the verdict, and what to know about it."""
    rows = [
        ("frames", balance.frames, ""),
        ("labels", balance.labels, ""),
        ("dead letters", balance.dead, ""),
        ("missing", balance.missing_count, ""),
        (
            "duplicates",
            balance.duplicates,
            "  surplus outcomes, to be expected after a crash" * bool(balance.duplicates),
        ),
    ]
    width = max(len(f"{count:,}") for _, count, _ in rows)
    lines = [f"{name:<12}  {count:>{width},}{remark}" for name, count, remark in rows]
    lines += [f"  {place} has no outcome" for place in missing_places(balance)]
    hidden = balance.missing_count - len(balance.missing)
    if hidden:
        lines.append(f"  and {hidden:,} more")
    lines += [f"note: {note}" for note in notes]
    lines.append(
        "ok: every frame has its outcome" if balance.ok else f"NOT ok: {balance.missing_count:,} frames have no outcome"
    )
    return "\n".join(lines)


def missing_places(balance: Balance) -> list[str]:
    """`frames.raw/3 offset 17`, neighbours in one: `frames.raw/3 offsets 17 to 25`."""
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
