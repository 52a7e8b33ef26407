"""`sightline redrive`: sends dead letters through the pipeline again, once the cause of their failure is repaired.

Copy, acknowledge, then mark: a copy goes to `frames.retry`; when the broker has it, a mark that names the dead letter
goes to `frames.dead`. A run that is cut off at any moment loses nothing. At worst the copies of its last second are
sent again by the next run, and their second labels are recognised by the coordinates of the frame.
"""

import json
import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from infra.commands.options import ErrorOption, FromOption, JsonOption, SourceIdOption, StageOption, ToOption
from infra.failures.dead_letters import DeadFilter, parse_place, read_dead_letters
from infra.kafka.publisher import Publisher
from infra.kafka.reader import Reader
from infra.kafka.schema_registry import registry_of
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import TopicNames
from infra.process import logs
from infra.process.lifecycle import Stop
from infra.process.times import now_us, parse_time_range
from infra.settings import Settings, load_settings
from ingest.redrive.plan import Plan, Planner, parse_rate
from ingest.redrive.send import RedriveResult, redrive
from ingest.redrive.text import describe, report
from schemas.errors import ConfigError, SightlineError
from schemas.records import Micros

DEFAULT_MAX_ATTEMPTS = 3
CLOSE_S = 1.0

PlacesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--partition-offset", metavar="PARTITION/OFFSET", help="This dead letter; may be given several times."
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="All dead letters.")]
RateOption = Annotated[str, typer.Option(metavar="N/s", help="At most so many dead letters a second.")]
AttemptsOption = Annotated[int, typer.Option(min=1, help="Refuse frames that were redriven so often already.")]
ExecuteOption = Annotated[bool, typer.Option("--execute", help="Do it; without this, only say what would be done.")]


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
    """Send dead letters through the pipeline again: one, some or all. Says what it would do; does it with --execute.

    Dead letters that were redriven before are skipped; those without a Frame are refused. --from and --to select by
    the time at which the frame was declared dead. Exit code 1 when not all were redriven.
    """
    settings = load_settings()
    logs.setup(settings.log)
    names = TopicNames.for_lane(settings.topic_prefix)
    places = frozenset(parse_place(text, names.dead) for text in partition_offset or ())
    if not (places or all_ or any((from_, to, stage, error, source_id))):
        raise ConfigError("say what to redrive: --partition-offset, --all, or --from --to --stage --error --source-id")
    rate_per_s = parse_rate(rate)
    period = parse_time_range(from_, to, now_us())
    wanted = DeadFilter(stage, error, source_id, places or None)
    stop = Stop().install()
    require_topics(settings, reads=[names.dead], writes=[names.retry])
    with ExitStack() as closing:
        reader = closing.enter_context(Reader(settings))
        plan = read_plan(settings, reader, wanted, period, max_attempts, stop)
        result = RedriveResult()
        if execute:
            publisher = Publisher(settings)
            closing.callback(publisher.close, CLOSE_S)
            result = redrive(publisher, reader, names, plan.chosen, rate_per_s, stop)
    print(json.dumps(report(plan, result, execute)) if as_json else describe(plan, result, execute, rate_per_s))
    if execute and result.redriven < len(plan.chosen):
        sys.exit(1)


def read_plan(
    settings: Settings,
    reader: Reader,
    wanted: DeadFilter,
    period: tuple[Micros | None, Micros | None],
    max_attempts: int,
    stop: Stop,
) -> Plan:
    """Decide by the dead letters and all marks. Raises ConfigError when there is no dead letter at a wanted place."""
    topic = TopicNames.for_lane(settings.topic_prefix).dead
    planner = Planner(max_attempts, registry_of(settings))
    for entry in read_dead_letters(reader, topic, wanted, *period, all_marks=True, stop=stop.is_set):
        planner.add(entry)
    if stop.is_set():
        raise SightlineError("stopped while the dead letters were read; nothing was written")
    if missing := planner.missing(wanted.places or ()):
        named = ", ".join(f"{partition}/{offset}" for partition, offset in missing)
        raise ConfigError(f"{topic} has no dead letter at {named}, or another option leaves it out")
    return planner.plan()
