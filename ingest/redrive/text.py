"""What `sightline redrive` prints: one JSON object, or lines for people."""

from typing import Any

from ingest.redrive.plan import Plan
from ingest.redrive.send import RedriveResult


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
