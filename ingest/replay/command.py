"""`sightline replay plan|start|resume`: frames of the past go through the replay lane, each exactly once."""

import json
import sys
from typing import Annotated

import typer

from infra.commands.options import (
    HttpPortOption,
    JsonOption,
    ModelOption,
    RangeFromOption,
    RangeToOption,
    SourceIdOption,
)
from infra.kafka.lanes import settings_of_lane
from infra.kafka.topic_ids import read_topic_ids
from infra.kafka.topics import TopicNames
from infra.process import logs
from infra.process.lifecycle import Stop
from infra.process.times import now_us
from infra.replay.answers import labels_of
from infra.replay.gate import EXIT_CHANGED, parse_limit
from infra.replay.progress import read_all
from infra.settings import Settings, load_settings
from ingest.replay.control import this_process
from ingest.replay.detach import resume_detached
from ingest.replay.opening import find_archive, plan_of
from ingest.replay.run import How, Outcome, check_lane, check_name, check_resumable, prepare, resume, start
from ingest.replay.text import describe, describe_plan, plan_json, progress_json, seconds_json, wish_json
from ingest.replay.wish import parse_name, parse_wish
from schemas.errors import ConfigError, SightlineError
from schemas.replays import ReplayProgress, ReplayState

EXIT_GAPS = 3
# Frames that a gate runs twice more, to know how far the answers differ by themselves.
GATE_NOISE = 500

ZoneOption = Annotated[
    str | None, typer.Option("--tz", metavar="ZONE", help="The zone of times without one, such as Europe/Berlin.")
]
RateOption = Annotated[
    str | None,
    typer.Option(
        "--rate", metavar="RATE", help="At most 50/s frames or 20MB/s, or 2x the original pace.", show_default=False
    ),
]
LateOption = Annotated[
    str | None,
    typer.Option(
        "--late",
        metavar="AGE",
        help="No frame was sent later than so long after its time, such as 10m: less is read behind the range "
        "(default: half of the retention).",
        show_default=False,
    ),
]
SampleOption = Annotated[
    int | None, typer.Option("--sample", metavar="N", min=1, help="Only N frames of the range, the same each time.")
]
ArchiveOption = Annotated[
    str | None,
    typer.Option(
        "--archive",
        metavar="URL",
        help="Where frames are that retention has removed (default: the setting archive.url).",
        show_default=False,
    ),
]
ExactOption = Annotated[bool, typer.Option("--exact", help="Read the whole range to count its frames.")]
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="ID", help="The id of the replay.", show_default=False)
]
RunOption = Annotated[
    bool, typer.Option("--run", help="Run the replay lane's own stages here meanwhile; --model does so too.")
]
NoiseOption = Annotated[
    int | None,
    typer.Option(
        "--noise",
        metavar="N",
        min=0,
        help=f"Frames that run twice more, to measure the noise (0, and {GATE_NOISE} with --fail-if-changed).",
        show_default=False,
    ),
]
LimitOption = Annotated[
    str | None,
    typer.Option(
        "--fail-if-changed",
        metavar="P%",
        help="Wait for the labels; exit code 4 when more than this share changed beyond noise.",
        show_default=False,
    ),
]
DetachOption = Annotated[
    bool, typer.Option("--detach", help="Leave it to a process in the background; `status --watch` shows it.")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The id of the replay.")]


def plan_command(
    *,
    from_: RangeFromOption,
    to: RangeToOption = "now",
    tz: ZoneOption = None,
    source_id: SourceIdOption = None,
    sample: SampleOption = None,
    rate: RateOption = None,
    late: LateOption = None,
    archive: ArchiveOption = None,
    exact: ExactOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a replay would copy: offsets, frames, bytes, gaps, and the time it takes. Changes nothing.

    The times are those of records, from --from on and before --to. Counts are exact where the range is small, with
    --exact and with --sample; else they are estimates, and the copy takes each frame by its own time.
    """
    settings = _settings()
    stop = Stop().install()
    wish = parse_wish(from_, to, tz, now_us(), source_id, sample, rate, late)
    found = plan_of(settings, wish, find_archive(settings, archive), stop, exact=exact)
    seconds = seconds_json(wish, found.plan)
    print(
        json.dumps({**wish_json(wish), "plan": plan_json(found.plan), "seconds": seconds})
        if as_json
        else describe_plan(wish, found.plan)
    )


def start_command(
    *,
    from_: RangeFromOption,
    to: RangeToOption = "now",
    tz: ZoneOption = None,
    source_id: SourceIdOption = None,
    sample: SampleOption = None,
    rate: RateOption = None,
    late: LateOption = None,
    archive: ArchiveOption = None,
    name: NameOption = None,
    model: ModelOption = None,
    run: RunOption = False,
    noise: NoiseOption = None,
    fail_if_changed: LimitOption = None,
    detach: DetachOption = False,
    http_port: HttpPortOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy frames of the past into the replay lane, each exactly once, and show how far it is.

    Ctrl-C pauses it; `resume` goes on, also after a crash. With --detach it goes on without this terminal. Exit code
    1: it is not done; 3: it is done, but frames were gone; 4: more changed than --fail-if-changed allows.
    """
    settings = _settings(http_port)
    now = now_us()
    wish = parse_wish(from_, to, tz, now, source_id, sample, rate, late)
    replay_id = parse_name(name, now)
    limit = None if fail_if_changed is None else parse_limit(fail_if_changed)
    how = How(run or model is not None, limit, http_port is not None)
    stop = Stop().install()
    there = read_all(settings)
    check_name(there, replay_id)
    check_lane(list(there.values()), replay_id)
    opened = find_archive(settings, archive)
    found = plan_of(settings, wish, opened, stop)
    topic = TopicNames.for_lane(settings.topic_prefix).frames
    new = ReplayProgress(
        replay_id=replay_id,
        state=ReplayState.STARTED,
        topic=topic,
        topic_id=read_topic_ids(settings, [topic])[topic],
        archive=None if opened is None else opened.url,
        from_at=wish.from_at,
        to_at=wish.to_at,
        source_glob=source_id,
        rate=str(wish.rate) or None,
        sample=sample,
        sample_below=found.sample_below,
        model=model,
        noise=(0 if limit is None else GATE_NOISE) if noise is None else noise,
        started_at=now,
        updated_at=now,
        process=this_process(),
        plan=found.plan,
    )
    print(describe_plan(wish, found.plan), file=sys.stderr)
    if detach:
        prepare(settings, new, stop)
        _leave(settings, replay_id, how, fail_if_changed, stop, as_json=as_json)
    else:
        _end(settings, start(settings, new, how, stop), as_json)


def resume_command(
    replay_id: IdArgument,
    *,
    rate: RateOption = None,
    run: RunOption = False,
    fail_if_changed: LimitOption = None,
    detach: DetachOption = False,
    http_port: HttpPortOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a replay that is paused or whose process ended, where its last transaction ended.

    The exit codes are those of `start`.
    """
    settings = _settings(http_port)
    limit = None if fail_if_changed is None else parse_limit(fail_if_changed)
    how = How(run, limit, http_port is not None)
    if detach:
        if rate is not None:
            raise ConfigError("--detach keeps the rate that the replay has: leave --rate out")
        check_resumable(settings, replay_id)
        _leave(settings, replay_id, how, fail_if_changed, Stop().install(), as_json=as_json)
    else:
        _end(settings, resume(settings, replay_id, how, Stop().install(), rate), as_json)


def _settings(http_port: int | None = None) -> Settings:
    settings = load_settings({"http": {"port": http_port}})
    logs.setup(settings.log)
    return settings_of_lane(settings, "replay")


def _leave(
    settings: Settings, replay_id: str, how: How, fail_if_changed: str | None, stop: Stop, *, as_json: bool
) -> None:
    """Let the replay go on in the background, and say how to see it again."""
    options = ["--run"] if how.stages else []
    options += [] if fail_if_changed is None else ["--fail-if-changed", fail_if_changed]
    options += [] if not how.serves else ["--http-port", str(settings.http.port)]
    found = resume_detached(settings, replay_id, options, stop)
    if as_json:
        print(json.dumps(progress_json(found)))
    else:
        print(describe(found))
    print(
        f"it goes on in the background: `sightline replay status {replay_id} --watch` shows it, "
        f"`sightline replay pause {replay_id}` stops it",
        file=sys.stderr,
    )


def _end(settings: Settings, outcome: Outcome, as_json: bool) -> None:
    """Print the result, and end with its exit code."""
    done = outcome.progress
    counts = outcome.counts or labels_of(settings, done)
    if as_json:
        print(json.dumps(progress_json(done, counts.labels, counts.dead)))
    else:
        print(describe(done, counts.labels, counts.dead))
    if outcome.verdict:
        print(outcome.verdict, file=sys.stderr)
    if done.state is ReplayState.PAUSED:
        print(
            f"`sightline replay resume {done.replay_id}` goes on; `sightline replay status {done.replay_id}` shows it",
            file=sys.stderr,
        )
    if done.state is ReplayState.COMPLETED and not done.copied and done.source_glob is not None:
        raise SightlineError(
            f"nothing was copied: no frame of the range is of a source that matches {done.source_glob!r}"
        )
    if done.state is not ReplayState.COMPLETED:
        sys.exit(1)
    if outcome.is_changed:
        sys.exit(EXIT_CHANGED)
    if done.all_gaps:
        sys.exit(EXIT_GAPS)
