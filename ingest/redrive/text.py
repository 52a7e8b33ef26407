"""What `sightline redrive` prints: one JSON object, or lines for people."""

from typing import Any

from infra.kafka.spans import Span
from ingest.redrive.missing import MissingFrames
from ingest.redrive.plan import Plan
from ingest.redrive.send import RedriveResult

MAX_RANGES_SHOWN = 12


def report(plan: Plan, result: RedriveResult, execute: bool) -> dict[str, Any]:
    """The object of `redrive --json`."""
    return {
        "executed": execute,
        "chosen": len(plan.chosen),
        "redriven": result.redriven,
        "failed": result.failed,
        "errors": sorted(result.errors),
        "skipped": plan.skipped,
        "refused": dict(plan.refused),
    }


def describe(plan: Plan, result: RedriveResult, execute: bool, rate_per_s: float) -> str:
    """The lines of `redrive` without --json."""
    lines = _done(plan, result) if execute else _would_do(plan, rate_per_s)
    if plan.skipped:
        lines.append(f"skipped {plan.skipped:,}: redriven before")
    lines += [f"refused {count:,}: {reason}" for reason, count in plan.refused.most_common()]
    if not execute and plan.chosen:
        lines.append("nothing was written: add --execute to do it")
    return "\n".join(lines)


def _done(plan: Plan, result: RedriveResult) -> list[str]:
    chosen = len(plan.chosen)
    reasons = f" ({_reasons(plan)})" if plan.reasons else ""
    lines = [f"redrove {result.redriven:,} of {chosen:,} dead letters{reasons}"]
    if result.failed:
        lines.append(f"failed {result.failed:,}: {'; '.join(sorted(result.errors))}")
    left = chosen - result.redriven - result.failed
    if left > 0:
        lines.append(
            f"stopped before the end: {left:,} dead letters are as they were"
            if result.stopped
            else f"{left:,} dead letters are gone: retention has removed them in the meantime"
        )
    return lines


def _would_do(plan: Plan, rate_per_s: float) -> list[str]:
    chosen = len(plan.chosen)
    reasons = f" ({_reasons(plan)})" if plan.reasons else ""
    takes = f", in {chosen / rate_per_s:.0f} s" if chosen > rate_per_s else ""
    return [f"would redrive {chosen:,} dead letters{reasons}{takes}"]


def _reasons(plan: Plan) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in plan.reasons.most_common())


def missing_report(found: MissingFrames, result: RedriveResult, execute: bool) -> dict[str, Any]:
    """The object of `redrive --missing --json`. Its keys are a contract; `expired_ranges` has 100 ranges at most."""
    return {
        "executed": execute,
        "chosen": found.count,
        "redriven": result.redriven,
        "failed": result.failed,
        "errors": sorted(result.errors),
        "under_way": found.under_way,
        "expired": found.expired,
        "expired_ranges": [
            {"topic": one.topic, "partition": one.partition, "from": one.start, "to": one.end - 1}
            for one in found.expired_ranges
        ],
        "notes": found.notes,
    }


def describe_missing(found: MissingFrames, result: RedriveResult, execute: bool, rate_per_s: float) -> str:
    """The lines of `redrive --missing` without --json."""
    if execute:
        lines = [f"sent {result.redriven:,} of {found.count:,} frames without an outcome"]
        if result.failed:
            lines.append(f"failed {result.failed:,}: {'; '.join(sorted(result.errors))}")
        left = found.count - result.redriven - result.failed
        if left > 0:
            lines.append(
                f"stopped before the end: {left:,} frames are as they were"
                if result.stopped
                else f"{left:,} frames are gone: retention has removed them in the meantime"
            )
    else:
        takes = f", in {found.count / rate_per_s:.0f} s" if found.count > rate_per_s else ""
        lines = [f"would send {found.count:,} frames without an outcome{takes}"]
    if found.under_way:
        lines.append(f"left alone {found.under_way:,}: a stage still has them")
    if found.expired:
        lines.append(f"cannot send {found.expired:,}: retention removed them without an outcome")
        shown = found.expired_ranges[:MAX_RANGES_SHOWN]
        lines += [f"  {_place(one)}" for one in shown]
        if sum(map(len, shown)) < found.expired:
            lines.append(f"  and {found.expired - sum(map(len, shown)):,} more")
    lines += [f"note: {note}" for note in found.notes]
    if not execute and found.count:
        lines.append("nothing was written: add --execute to do it")
    return "\n".join(lines)


def _place(span: Span) -> str:
    last = span.end - 1
    offsets = f"offset {last}" if span.start == last else f"offsets {span.start} to {last}"
    return f"{span.topic}/{span.partition} {offsets}"
