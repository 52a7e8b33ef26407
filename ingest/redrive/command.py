"""`sightline redrive`: dead letters through the pipeline again, once what killed them is repaired.

Copy, acknowledge, then mark: a copy goes to `frames.retry`, and when the broker has it a mark behind the letter on
`frames.dead`. Cancelled at any moment nothing is lost; at worst the copies of the last second are sent twice, and
their second labels are recognised by their coordinates.
"""

import json
import sys
from typing import Annotated, Any

import typer

from infra.commands.options import ErrorOption, FromOption, JsonOption, SourceIdOption, StageOption, ToOption
from infra.failures.dead_letters import DeadFilter, parse_place, read_letters
from infra.kafka.clients import require_kafka, require_topics
from infra.kafka.reader import Reader
from infra.kafka.schema_registry import registry_of
from infra.kafka.topics import TopicNames
from infra.process import logs
from infra.process.lifecycle import Stop
from infra.process.times import now_us, parse_time_range
from infra.settings import load_settings
from ingest.redrive.plan import Plan, Planner, parse_rate
from ingest.redrive.send import Done, redrive
from schemas.errors import ConfigError, SightlineError

DEFAULT_MAX_ATTEMPTS = 3

PlacesOption = Annotated[
    list[str] | None,
    typer.Option("--partition-offset", metavar="P/O", help="This dead letter; may be given several times."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every dead letter.")]
RateOption = Annotated[str, typer.Option(metavar="N/s", help="At most so many frames a second.")]
AttemptsOption = Annotated[int, typer.Option(min=1, help="Refuse frames that were redriven so often already.")]
ExecuteOption = Annotated[bool, typer.Option("--execute", help="Do it; without this only tell what would be done.")]


def command(
    *,
    partition_offset: PlacesOption = None,
    all_: AllOption = False,
    from_: FromOption = None,
    to: ToOption = None,
    stage: StageOption = None,
    error: ErrorOption = None,
    source_id: SourceIdOption = None,
    rate: RateOption = "50/s",
    max_attempts: AttemptsOption = DEFAULT_MAX_ATTEMPTS,
    execute: ExecuteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters through the pipeline again: one, some or all. Tells first, does it with --execute.

    What was redriven before is skipped; what is no Frame is refused. Exit code 1 when not all was done.
    --from and --to select by the time at which the frame was declared dead.
    """
    settings = load_settings()
    logs.setup(settings.log)
    topic = TopicNames.for_lane(settings.topic_prefix).dead
    places = frozenset(parse_place(text, topic) for text in partition_offset or ())
    if not (places or all_ or any((from_, to, stage, error, source_id))):
        raise ConfigError("say what to redrive: --partition-offset, --all, or --from --to --stage --error --source-id")
    rate_per_s = parse_rate(rate)
    from_us, to_us = parse_time_range(from_, to, now_us())
    stop = Stop().install()
    require_kafka(settings)
    require_topics(settings, topic, TopicNames.for_lane(settings.topic_prefix).retry)
    planner = Planner(max_attempts, registry_of(settings))
    with Reader(settings) as reader:
        wanted = DeadFilter(stage, error, source_id, places or None)
        for entry in read_letters(reader, topic, wanted, from_us, to_us, all_marks=True, stop=stop.is_set):
            planner.add(entry)
        if stop.is_set():
            raise SightlineError("stopped while the dead letters were read; nothing was written")
        if missing := planner.missing(places):
            named = ", ".join(f"{partition}/{offset}" for partition, offset in missing)
            raise ConfigError(f"{topic} has no dead letter at {named}, or another option leaves it out")
        plan = planner.plan()
        done = redrive(settings, reader, plan.chosen, rate_per_s, stop) if execute else Done()
    print(json.dumps(report(plan, done, execute)) if as_json else describe(plan, done, execute, rate_per_s))
    if execute and done.redriven < len(plan.chosen):
        sys.exit(1)


def report(plan: Plan, done: Done, execute: bool) -> dict[str, Any]:
    """`redrive --json`."""
    return {
        "executed": execute,
        "chosen": len(plan.chosen),
        "redriven": done.redriven,
        "failed": done.failed,
        "errors": sorted(done.errors),
        "skipped": plan.skipped,
        "refused": dict(plan.refused),
    }


def describe(plan: Plan, done: Done, execute: bool, rate_per_s: float) -> str:
    chosen = len(plan.chosen)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in plan.reasons.most_common())
    if execute:
        lines = [f"redrove {done.redriven:,} of {chosen:,} frames" + (f" ({reasons})" if reasons else "")]
        if done.failed:
            lines.append(f"failed {done.failed:,}: {'; '.join(sorted(done.errors))}")
        if done.redriven + done.failed < chosen:
            lines.append(
                "stopped before the end; the others are as they were"
                if done.stopped
                else f"{chosen - done.redriven - done.failed:,} are gone: retention has removed them meanwhile"
            )
    else:
        takes = f", in {chosen / rate_per_s:.0f} s" if chosen > rate_per_s else ""
        lines = [f"would redrive {chosen:,} frames" + (f" ({reasons}){takes}" if reasons else "")]
    if plan.skipped:
        lines.append(f"skipped {plan.skipped:,}, redriven before")
    lines += [f"refused {count:,}: {reason}" for reason, count in plan.refused.most_common()]
    if not execute and chosen:
        lines.append("nothing was written: add --execute to do it")
    return "\n".join(lines)
