"""The command-line options that several commands share: each is declared here once, as an annotated type for Typer.

A default is the command's own matter: `lane: LaneOption = "live"`. What an option selects in one particular command
(the time of a frame or of a dead letter, one JSON object or one a line) is said in the docstring of that command.
"""

from typing import Annotated

import typer

from infra.kafka.topics import Lane

LaneOption = Annotated[Lane, typer.Option("--lane", help="The live lane, or the replay lane with its own topics.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

_FROM = typer.Option(
    "--from", metavar="T", help="From this time on: ISO 8601 (2026-11-22T08:00:00Z) or relative to now (-10m)."
)
_TO = typer.Option("--to", metavar="T", help="Before this time; written like --from.")
FromOption = Annotated[str | None, _FROM]
ToOption = Annotated[str | None, _TO]
# Of a command that needs both.
RangeFromOption = Annotated[str, _FROM]
RangeToOption = Annotated[str, _TO]

HttpPortOption = Annotated[
    int | None,
    typer.Option(
        "--http-port",
        metavar="PORT",
        help="Serve /livez, /readyz and /metrics on this port; 0 takes a free one and logs it.",
        show_default=False,
    ),
]

PassOverOption = Annotated[
    list[str] | None,
    typer.Option(
        "--pass-over",
        metavar="PARTITION/OFFSET",
        help="Make a dead letter of this record, which looks as if a newer version had written it; may be given "
        "several times.",
    ),
]

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="The model, such as efficientnet-lite0 or efficientnet-lite0@torch (default: the setting infer.model).",
        show_default=False,
    ),
]

SourceIdOption = Annotated[
    str | None, typer.Option("--source-id", metavar="GLOB", help="Only sources whose id matches, such as 'dock-*'.")
]
StageOption = Annotated[
    str | None, typer.Option("--stage", metavar="GLOB", help="Only dead letters that this stage wrote.")
]
ErrorOption = Annotated[
    str | None, typer.Option("--error", metavar="GLOB", help="Only dead letters with this class of error.")
]
