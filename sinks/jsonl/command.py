"""`sightline sink jsonl DIR`: stores every label as a line of JSON, in files by day and hour."""

from pathlib import Path
from typing import Annotated

import typer

from infra.commands.options import HttpPortOption, LaneOption, PassOverOption
from infra.process import logs
from infra.process.lifecycle import Stop
from infra.settings import load_settings
from sinks.base.process import serve
from sinks.jsonl.sink import JsonlSink


def command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder, for this sink only; it is created if needed.")
    ],
    lane: LaneOption = "live",
    pass_over: PassOverOption = None,
    http_port: HttpPortOption = None,
) -> None:
    """Store labels as JSON lines in files DIR/day=.../hour=.../labels-*.jsonl, by the hour (UTC) of capture.

    A line has the format of `sightline subscribe --format json`. A file whose name ends in .jsonl is complete and never
    changes. Each label is in DIR exactly once, even if processes are killed at any time; the next start continues after
    the last stored label. Several such commands share the partitions and need one DIR each; after one of them was
    killed, a label can be in two of these folders.
    """
    settings = load_settings({"sink": {"pass_over": pass_over or None}, "http": {"port": http_port}})
    logs.setup(settings.log)
    serve(settings, JsonlSink(folder, settings.jsonl), lane, Stop().install())
