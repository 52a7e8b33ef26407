"""`sightline bench`: runs one benchmark by name, or all of them."""

import json
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra.commands.options import JsonOption
from infra.process import logs
from infra.settings import load_settings
from schemas.errors import ConfigError, SightlineError
from streams.bench.cache import bench_cache
from streams.bench.crawl import bench_crawl
from streams.bench.delivery import bench_delivery
from streams.bench.e2e import bench_backlog, bench_e2e, bench_latency
from streams.bench.gateway import bench_gateway
from streams.bench.infer import bench_infer
from streams.bench.ingest import bench_ingest
from streams.bench.kafka import bench_kafka
from streams.bench.lag import bench_lag
from streams.bench.replay import bench_replay
from streams.bench.report import Options, Report
from streams.bench.spool import bench_spool
from streams.bench.stream import bench_stream
from streams.bench.testbed import services

DEFAULTS = Options()
BENCHMARKS: dict[str, Callable[[Options], Report]] = {
    "stream": bench_stream,
    "infer": bench_infer,
    "e2e": bench_e2e,
    "cache": bench_cache,
    "latency": bench_latency,
    "backlog": bench_backlog,
    "delivery": bench_delivery,
    "kafka": bench_kafka,
    "ingest": bench_ingest,
    "lag": bench_lag,
    "replay": bench_replay,
    "spool": bench_spool,
    "gateway": bench_gateway,
    "crawl": bench_crawl,
}


def command(
    name: Annotated[str, typer.Argument(help=f"{', '.join(BENCHMARKS)}, or all")] = "all",
    as_json: JsonOption = False,
    frames: Annotated[int, typer.Option(help="Frames in each measured run.", min=200)] = DEFAULTS.frames,
    repeats: Annotated[
        int, typer.Option(help="How many times each pair of runs is measured.", min=1)
    ] = DEFAULTS.repeats,
    model: Annotated[str, typer.Option(help="The model that the worker runs.")] = DEFAULTS.model,
    check: Annotated[bool, typer.Option("--check", help="Exit code 1 when a ratio misses its goal.")] = False,
) -> None:
    """Compare the pipeline with the bare limit on this machine; prints ratios, and the figures behind them.

    With --json one object a line for each benchmark.
    """
    if name != "all" and name not in BENCHMARKS:
        raise ConfigError(f"there is no benchmark {name!r}; there are {', '.join(BENCHMARKS)}, and all")
    logs.setup(load_settings().log)
    options = Options(frames=frames, repeats=repeats, model=model)
    missed: list[str] = []
    with services():
        for benchmark in BENCHMARKS.values() if name == "all" else [BENCHMARKS[name]]:
            report = benchmark(options)
            missed += report.missed()
            if as_json:
                print(json.dumps(report.as_json()), flush=True)
            else:
                _show(report)
    if check and missed:
        raise SightlineError(f"missed: {', '.join(missed)}")


def _show(report: Report) -> None:
    table = Table(title=f"bench {report.name}", title_justify="left")
    for column in ("", "value", "goal"):
        table.add_column(column)
    for name, value in report.ratios.items():
        sign, goal = report.goals.get(name, ("", 0.0))
        reached = report.reached(name)
        colour = "" if reached is None else "green" if reached else "red"
        table.add_row(name, f"[{colour}]{value:g}[/]" if colour else f"{value:g}", f"{sign} {goal:g}" if sign else "")
    for name, figure in report.figures.items():
        table.add_row(f"[dim]{name}[/]", str(figure), "")
    Console().print(table)
