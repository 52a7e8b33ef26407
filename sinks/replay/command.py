"""`sightline replay diff` and `sightline replay promote`."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.commands.options import JsonOption
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import TopicNames
from infra.process import logs
from infra.process.lifecycle import Stop
from infra.replay import gate, progress
from infra.replay.answers import compare
from infra.settings import load_settings
from schemas.errors import ConfigError
from sinks.replay.page import page
from sinks.replay.pictures import pictures_of
from sinks.replay.promote import promote
from sinks.replay.text import diff_view, promotion_json, promotion_text

ReplayArgument = Annotated[str, typer.Argument(metavar="ID", help="The replay, as `sightline replay list` names it.")]
HtmlOption = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write the report there, one page that needs no other file or host."),
]
LimitOption = Annotated[
    str | None,
    typer.Option("--fail-if-changed", metavar="N%", help="Exit code 4 when more than that changed beyond noise."),
]
ExecuteOption = Annotated[
    bool, typer.Option("--execute", "--yes", help="Do it; without this, only say what would be done.")
]


def diff_command(
    replay_id: ReplayArgument,
    *,
    as_json: JsonOption = False,
    html: HtmlOption = None,
    fail_if_changed: LimitOption = None,
) -> None:
    """Compare the labels of a replay with the live labels of the same frames, as far as both are there.

    A frame has changed when its best class or its decision is another one, or when only one side has a label and the
    other a dead letter. What changes when the same frames are run twice is noise; the replay measures it by a sample.
    """
    settings = load_settings()
    logs.setup(settings.log)
    limit = None if fail_if_changed is None else gate.parse_limit(fail_if_changed)
    if html is not None:
        _check_file(html)
    live, lane = (TopicNames.for_lane(settings.topic_prefix, lane) for lane in ("live", "replay"))
    require_topics(settings, reads=[live.progress, live.labels, lane.labels, live.dead])
    replay = progress.read(settings, replay_id)
    found = compare(settings, replay, Stop().install().is_set)
    if html is not None:
        _write(html, page(found, replay, pictures_of(settings, found.examples)))
    if as_json:
        print(json.dumps(found.as_json()))
    else:
        Console(highlight=False).print(diff_view(found))
    if limit is not None:
        exceeds = gate.exceeds(found, limit)
        print(f"sightline: {gate.sentence(found, limit)}", file=sys.stderr)
        if exceeds:
            sys.exit(gate.EXIT_CHANGED)


def promote_command(replay_id: ReplayArgument, *, execute: ExecuteOption = False, as_json: JsonOption = False) -> None:
    """Publish the changed labels of a replay to the live labels, as corrections of what was said before.

    A correction has the coordinates of the original frame, the id of the replay and a revision, the time of the
    promotion; of a frame's labels the highest revision counts. A label that was promoted before is left out, so this
    can be run again after whatever happened. Says what it would do; does it with --execute.
    """
    settings = load_settings()
    logs.setup(settings.log)
    live, lane = (TopicNames.for_lane(settings.topic_prefix, lane) for lane in ("live", "replay"))
    writes = [live.labels, live.review] if execute else []
    require_topics(settings, reads=[live.progress, live.labels, lane.labels, live.dead], writes=writes)
    replay = progress.read(settings, replay_id)
    if replay.state.is_running and execute:
        raise ConfigError(f"replay {replay_id} is still running: promote it when it is COMPLETED")
    result = promote(settings, replay, Stop().install(), execute=execute)
    print(json.dumps(promotion_json(result, execute=execute)) if as_json else promotion_text(result, execute=execute))
    if execute and result.promoted < result.chosen:
        sys.exit(1)


def _check_file(path: Path) -> None:
    """Raises ConfigError before anything is read where `_write` would."""
    if path.is_dir():
        raise ConfigError(f"--html: {path} is a folder, name a file")
    if not path.parent.is_dir():
        raise ConfigError(f"--html: there is no folder {path.parent}")


def _write(path: Path, text: str) -> None:
    """The whole page or nothing: a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(f"--html: cannot write {path} ({error.strerror})") from error
