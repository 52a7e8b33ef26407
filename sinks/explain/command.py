"""`sightline explain`: the life of one frame."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.commands.options import FromOption, JsonOption, LaneOption, ToOption
from infra.kafka.reader import Reader
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import TopicNames
from infra.process import logs
from infra.process.lifecycle import Deadline
from infra.process.times import now_us, parse_time_range
from infra.settings import load_settings
from schemas.errors import ConfigError
from sinks.explain.fields import life_json
from sinks.explain.life import State, verdict
from sinks.explain.look import SHORT_READS, Looker, Range
from sinks.explain.save import check_path, save_picture
from sinks.explain.text import life_view

FrameArgument = Annotated[
    str,
    typer.Argument(
        metavar="FRAME",
        help="TOPIC/PARTITION/OFFSET of the frame (or of its label or dead letter), or a frame id.",
    ),
]
SaveOption = Annotated[
    Path | None, typer.Option("--save", metavar="FILE", help="Write the picture there; a file that exists is kept.")
]
TimeoutOption = Annotated[float, typer.Option("--timeout", metavar="SEC", min=0.1, help="Look for at most this long.")]


def command(
    frame: FrameArgument,
    *,
    from_: FromOption = None,
    to: ToOption = None,
    save: SaveOption = None,
    timeout_s: TimeoutOption = 30.0,
    as_json: JsonOption = False,
    lane: LaneOption = "live",
) -> None:
    """Tell the life of one frame: when it was captured, batched and labelled, by what, and every outcome it has had.

    Outcomes are looked for from the time of the frame until 10 minutes after the first one; --from and --to look
    elsewhere, and bound the search for a frame id, which --lane selects the lane for. The exit code is 0 if the frame
    has an outcome or is on its way, 1 if it has none or that is not known. With --json the result is one object.
    """
    settings = load_settings()
    logs.setup(settings.log)
    limits = Range(*parse_time_range(from_, to, now_us()))
    if save is not None:
        check_path(save)
    names = TopicNames.for_lane(settings.topic_prefix, lane)
    require_topics(settings, reads=[names.frames, names.labels])
    with Reader(settings, **SHORT_READS) as reader:
        looker = Looker(settings, reader, lane, Deadline(timeout_s).expired)
        life = looker.life_of(looker.place_of(frame, limits), limits)
    if save is not None:
        if life.frame.frame is None:
            raise ConfigError(f"--save: there is no picture at {life.place}: {life.frame.fault}")
        save_picture(save, life.frame.frame.image)
        life.notes.append(f"the picture is in {save}")
    if as_json:
        print(json.dumps(life_json(life, frame, None if save is None else str(save))))
    else:
        Console(highlight=False, soft_wrap=False).print(life_view(life))
    if verdict(life)[0] in (State.MISSING, State.UNKNOWN):
        sys.exit(1)
