"""`sightline sink jsonl DIR`: every label as a line of JSON, in files by day and hour."""

from pathlib import Path
from typing import Annotated

import typer

from infra.commands.options import HttpPortOption, LaneOption
from infra.process import logs
from infra.process.lifecycle import Stop
from infra.settings import load_settings
from sinks.base.process import serve
from sinks.jsonl.sink import JsonlSink


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Written by this sink alone; made when missing.")],
    lane: LaneOption = "live",
    http_port: HttpPortOption = None,
) -> None:
    """Labels as JSON lines in files: DIR/day=.../hour=.../labels-*.jsonl, by the hour (UTC) of capture.

    A line is what `sightline subscribe --format json` prints. A file that ends in .jsonl is whole and never changes.
    Each label is in DIR once, whatever is killed when; the next start goes on where DIR ends. Several of these commands
    share the partitions, each with a DIR of its own; a label can then be in two of them after one of them was killed.
    """
    settings = load_settings({"http": {"port": http_port}})
    logs.setup(settings.log)
    serve(settings, JsonlSink(folder, settings.jsonl), lane, Stop().install())
