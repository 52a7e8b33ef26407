"""`sightline lag`: how far the consumer groups of the cluster are behind, and whether that matters."""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.console import Console

from infra.commands.options import JsonOption, LaneOption
from infra.kafka.reader import Reader
from infra.kafka.start_checks import require_kafka
from infra.lag.monitor import LagMonitor, pipeline_patterns, stage_groups
from infra.lag.pipeline import Pipeline, bottleneck_json
from infra.lag.reports import GroupReport
from infra.lag.rules.bottleneck import Bottleneck
from infra.lag.rules.status import LagStatus
from infra.lag.table import LagView
from infra.lag.watch import watch_lag
from infra.process import logs
from infra.process.lifecycle import Stop
from infra.settings import Settings, load_settings
from schemas.errors import ConfigError

# Two looks tell whether a group moves.
SECOND_LOOK_S = 2.0

GroupOption = Annotated[
    list[str] | None,
    typer.Option("--group", metavar="GLOB", help="Only groups whose name matches, such as 'sightline-*'; repeatable."),
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="GLOB", help="No group whose name matches; repeatable.")
]
WatchOption = Annotated[bool, typer.Option("--watch", help="Look again and again, and keep a table up to date.")]
IntervalOption = Annotated[
    float | None,
    typer.Option("--interval", metavar="SEC", min=0.5, help="Time between two looks.", show_default=False),
]
PipelineOption = Annotated[
    bool, typer.Option("--pipeline", help="Only our own stages, and which of them holds the pipeline back.")
]
ServeOption = Annotated[
    int | None,
    typer.Option(
        "--serve",
        metavar="PORT",
        help="Serve Burrow's HTTP API, metrics and notifications on this port, until it is ended; 0 takes a free one.",
        show_default=False,
    ),
]
FailOnOption = Annotated[
    str | None,
    typer.Option("--fail-on", metavar="STATUS", help="Exit with 1 if a group is that bad or worse: WARN or ERR."),
]


def command(
    *,
    group: GroupOption = None,
    exclude: ExcludeOption = None,
    as_json: JsonOption = False,
    watch: WatchOption = False,
    interval_s: IntervalOption = None,
    fail_on: FailOnOption = None,
    serve_port: ServeOption = None,
    pipeline: PipelineOption = False,
    lane: LaneOption = "live",
) -> None:
    """Show how far consumer groups are behind: records, seconds, whether it matters, and why.

    Any group of the cluster; Describe rights are enough, and no group is disturbed. A status is OK, WARN, ERR, or
    NOTFOUND for a group that does not exist. Two looks tell whether a group moves; `--watch` sees trends too.
    """
    settings = load_settings()
    logs.setup(settings.log)
    limit = status_of(fail_on) if fail_on is not None else None
    require_kafka(settings)
    include = list(group or (pipeline_patterns(settings.topic_prefix) if pipeline else ()))
    expected = _named(settings, group, lane) if group else stage_groups(settings.topic_prefix, lane)
    if serve_port is not None:
        _serve(settings, serve_port, include, exclude or (), expected)
        return
    with ExitStack() as closing:
        monitor = closing.enter_context(LagMonitor(settings, include, exclude or (), expected))
        judge = Pipeline(settings, lane, closing.enter_context(Reader(settings))).judge if pipeline else None
        if watch:
            watch_lag(monitor.look, judge, interval_s or settings.lag.look_interval_s)
            return
        reports = _twice(monitor)
        _print(reports, judge(reports) if judge is not None else None, as_json)
    if limit is not None and any(report.status is LagStatus.NOTFOUND or report.status >= limit for report in reports):
        sys.exit(1)


def status_of(text: str) -> LagStatus:
    """WARN or ERR, in any case of letters. Raises ConfigError."""
    try:
        found = LagStatus[text.upper()]
    except KeyError:
        found = LagStatus.OK
    if found not in (LagStatus.WARN, LagStatus.ERR):
        raise ConfigError(f"--fail-on {text}: write WARN or ERR")
    return found


def _named(settings: Settings, groups: Sequence[str], lane: str) -> dict[str, str]:
    """The groups that were asked for by their whole names are reported even if there is no such group."""
    ours = stage_groups(settings.topic_prefix, "replay" if lane == "replay" else "live")
    return {name: ours.get(name, "") for name in groups if not set(name) & set("*?[")}


def _serve(
    settings: Settings, port: int, include: Sequence[str], exclude: Sequence[str], expected: dict[str, str]
) -> None:
    from infra.lag.serve.run import serve  # the one-shot command starts without an HTTP client

    stop = Stop().install()
    served = settings.model_copy(update={"http": settings.http.model_copy(update={"port": port})})
    with LagMonitor(settings, include, exclude, expected, all_topics=True) as monitor:
        serve(served, monitor, stop)
    stop.raise_error()


def _twice(monitor: LagMonitor) -> list[GroupReport]:
    reports = monitor.look()
    if not any(report.total_lag for report in reports):
        return reports
    time.sleep(SECOND_LOOK_S)
    return monitor.look()


def _print(reports: list[GroupReport], bottleneck: Bottleneck | None, as_json: bool) -> None:
    if as_json:
        groups = [report.as_json() for report in reports]
        whole = groups if bottleneck is None else {"groups": groups, "bottleneck": bottleneck_json(bottleneck)}
        print(json.dumps(whole))
    elif reports or bottleneck is not None:
        Console(highlight=False).print(LagView(reports, bottleneck))
    else:
        print("no consumer group matches")
