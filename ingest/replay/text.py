"""What `sightline replay` prints: JSON objects, or lines for people. Pure."""

from collections.abc import Iterable
from typing import Any

from infra.process.text import printable
from ingest.replay.wish import Wish
from schemas.records import Micros, micros_to_iso
from schemas.replays import OffsetRange, ReplayGap, ReplayPlan, ReplayProgress

# What a copy takes where nothing limits it: a machine of two cores with a broker on it copies frames at this pace.
FULL_SPEED_BYTES_PER_S = 60e6
MAX_SHOWN = 12


def plan_json(plan: ReplayPlan) -> dict[str, Any]:
    """`plan` of `replay plan|start|status --json` (contract)."""
    return {
        "frames": plan.frames,
        "bytes": plan.bytes,
        "exact": plan.exact,
        "gaps": [gap_json(gap) for gap in plan.gaps],
        "partitions": [range_json(one) for one in plan.partitions],
    }


def wish_json(wish: Wish) -> dict[str, Any]:
    return {"from": micros_to_iso(wish.from_at), "to": micros_to_iso(wish.to_at), "source_id": wish.source_glob}


def gap_json(gap: ReplayGap) -> dict[str, Any]:
    return {
        "topic": gap.topic,
        "partition": gap.partition,
        "from": gap.from_offset,
        "to": gap.to_offset,
        "reason": gap.reason,
    }


def range_json(one: OffsetRange) -> dict[str, Any]:
    return {"topic": one.topic, "partition": one.partition, "from": one.from_offset, "to": one.to_offset}


def progress_json(progress: ReplayProgress, labels: int | None = None, dead: int | None = None) -> dict[str, Any]:
    """The object of `replay start|status|list --json` (contract, with further fields). `labels` None: not counted."""
    return {
        "replay_id": progress.replay_id,
        "state": str(progress.state),
        "reason": progress.reason,
        "plan": plan_json(progress.plan),
        "copied": progress.copied,
        "labels": labels,
        "dead": dead,
        "copied_bytes": progress.copied_bytes,
        "skipped": progress.skipped,
        "noise_copied": progress.noise_copied,
        "gaps": [gap_json(gap) for gap in progress.gaps],
        "from": micros_to_iso(progress.from_at),
        "to": micros_to_iso(progress.to_at),
        "source_id": progress.source_glob,
        "rate": progress.rate,
        "sample": progress.sample,
        "noise": progress.noise,
        "model": progress.model,
        "archive": progress.archive,
        "topic": progress.topic,
        "started_at": micros_to_iso(progress.started_at),
        "updated_at": micros_to_iso(progress.updated_at),
        "process": progress.process,
    }


def seconds_json(wish: Wish, plan: ReplayPlan) -> float:
    """How long the copy takes, as well as that can be told."""
    at_rate = wish.rate.seconds(plan.frames, plan.bytes, (wish.to_at - wish.from_at) / 1e6)
    return round(max(at_rate or 0.0, plan.bytes / FULL_SPEED_BYTES_PER_S), 1)


def describe_plan(wish: Wish, plan: ReplayPlan) -> str:
    """The lines of `replay plan`."""
    about = "" if plan.exact else "about "
    what = f"{about}{plan.frames:,} frames, {mb(plan.bytes)}"
    if wish.source_glob is not None and not plan.exact:
        what += f", less those of sources other than {printable(wish.source_glob)!r}"
    read = sum(one.to_offset - one.from_offset for one in plan.partitions)
    lines = [
        f"from {micros_to_iso(wish.from_at)} to {micros_to_iso(wish.to_at)}: {what}",
        f"read from {len(plan.partitions)} partitions, {read:,} records in all:",
        *(f"  {_range(one)}" for one in plan.partitions[:MAX_SHOWN]),
    ]
    if len(plan.partitions) > MAX_SHOWN:
        lines.append(f"  and {len(plan.partitions) - MAX_SHOWN} more (--json lists all)")
    lines += gap_lines(plan.gaps)
    lines.append(f"the copy takes about {duration(seconds_json(wish, plan))}")
    return "\n".join(lines)


def describe(progress: ReplayProgress, labels: int | None = None, dead: int | None = None) -> str:
    """The lines of `replay status`."""
    about = "" if progress.plan.exact else "about "
    counted = "" if labels is None else f"; {labels:,} labels, {dead or 0:,} dead letters"
    why = f": {printable(progress.reason)}" if progress.reason else ""
    lines = [
        f"{progress.replay_id} {progress.state}{why}",
        f"copied {progress.copied:,} of {about}{progress.plan.frames:,} frames ({mb(progress.copied_bytes)}){counted}",
        f"from {micros_to_iso(progress.from_at)} to {micros_to_iso(progress.to_at)}, last word of "
        f"{micros_to_iso(progress.updated_at)} by {printable(progress.process)}",
    ]
    return "\n".join([*lines, *gap_lines(progress.all_gaps)])


def table(found: Iterable[ReplayProgress]) -> str:
    """The lines of `replay list`, of 80 columns where ids are not long. Times are cut to minutes."""
    rows = [["REPLAY", "STATE", "COPIED", "RANGE (UTC)"]]
    for one in found:
        copied = f"{one.copied:,}/{'' if one.plan.exact else '~'}{one.plan.frames:,}"
        rows.append([one.replay_id, str(one.state), copied, _minutes(one.from_at, one.to_at)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _minutes(from_at: Micros, to_at: Micros) -> str:
    """`2026-11-26 17:07-17:20`; the day of the end where it is another one."""
    begin, end = (micros_to_iso(at)[:16].replace("T", " ") for at in (from_at, to_at))
    return f"{begin}-{end[11:] if begin[:10] == end[:10] else end}"


def gap_lines(gaps: Iterable[ReplayGap]) -> list[str]:
    found = list(gaps)
    lines = [
        f"gap: {one.topic}/{one.partition} offsets {one.from_offset} to {one.to_offset - 1}: {one.reason}"
        for one in found
    ]
    return lines if len(lines) <= MAX_SHOWN else [*lines[:MAX_SHOWN], f"and {len(lines) - MAX_SHOWN} more gaps"]


def mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def duration(seconds: float) -> str:
    """`45 s`, `3 min`, `2 h 5 min`."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _range(one: OffsetRange) -> str:
    return f"{one.topic}/{one.partition} offsets {one.from_offset} to {one.to_offset - 1}"
