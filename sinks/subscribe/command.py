"""`sightline subscribe`: labels to stdout, for people as columns and for programs as JSON lines.

Reads without a group: any number of subscribers see every label, and none of them holds anything up.
"""

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from infra.commands.options import FromOption, HttpPortOption, LaneOption, SourceIdOption
from infra.kafka.clients import require_kafka
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.schema_registry import registry_of
from infra.kafka.topics import Lane, TopicNames
from infra.process import logs, metrics
from infra.process.health import HealthServer
from infra.process.lifecycle import Stop
from infra.process.times import now_us, parse_time
from infra.settings import Settings, load_settings
from schemas import codec
from schemas.codec import Registry
from schemas.errors import BadFrame
from schemas.records import Decision, Label, Micros
from sinks.base.dedupe import Deduplicator
from sinks.base.label_text import Columns, json_line
from sinks.subscribe.filters import LabelFilter


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


Emit = Callable[[Label, ConsumedRecord], None]

ClassOption = Annotated[
    str | None, typer.Option("--class", metavar="GLOB", help="Only this best class, by name or class id.")
]
ProbabilityOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Only when the best prediction is at least this probable.")
]
DecisionOption = Annotated[
    Decision | None, typer.Option(case_sensitive=False, help="Only labels that were decided so.")
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="End after so many labels.")]
FormatOption = Annotated[
    Format | None, typer.Option("--format", help="Default: table on a terminal, else json.", show_default=False)
]
DedupeOption = Annotated[bool, typer.Option("--dedupe", help="Leave out a second label for the same frame.")]


def command(
    *,
    source_id: SourceIdOption = None,
    class_: ClassOption = None,
    min_probability: ProbabilityOption = None,
    decision: DecisionOption = None,
    from_: FromOption = None,
    limit: LimitOption = None,
    format_: FormatOption = None,
    dedupe: DedupeOption = False,
    lane: LaneOption = "live",
    http_port: HttpPortOption = None,
) -> None:
    """Print labels as they are written, or from the time --from on: one JSON object a line, or a table for people.

    Serves its health only where --http-port is given. Ends cleanly on Ctrl-C, on SIGTERM, and when the reader of its
    output closes the pipe.
    """
    settings = load_settings({"http": {"port": http_port}})
    logs.setup(settings.log)
    start_us = parse_time(from_, now_us()) if from_ else None
    stop = Stop().install()
    require_kafka(settings)
    selection = Selection(
        LabelFilter(source_id, class_, min_probability, decision), Deduplicator() if dedupe else None, limit
    )
    format_ = format_ or (Format.TABLE if sys.stdout.isatty() else Format.JSON)
    emit, ready = table() if format_ is Format.TABLE else print_json, threading.Event()
    try:
        with ExitStack() as closing:
            if http_port is not None:
                waiting = "where to begin is not known yet"
                closing.enter_context(HealthServer(settings.http, ready=lambda: None if ready.is_set() else waiting))
            run(settings, lane, start_us, selection, emit, stop, ready)
    except BrokenPipeError:
        # `| head` has seen enough. What is still buffered must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    report(selection)


@dataclass(slots=True)
class Selection:
    """What a subscriber wants, and the count of what it did not get."""

    wanted: LabelFilter
    dedupe: Deduplicator | None = None
    limit: int | None = None
    passed: int = 0
    undecodable: dict[str, int] = field(default_factory=dict)

    def takes(self, label: Label) -> bool:
        """Repeats are recognised among what is wanted; a filter does not age the window."""
        result = self._result(label)
        metrics.LABELS_READ.labels(result).inc()
        self.passed += result == "passed"
        return result == "passed"

    def _result(self, label: Label) -> str:
        source = label.source
        if not self.wanted.passes(label):
            return "filtered"
        if self.dedupe and not self.dedupe.is_first(source.topic, source.partition, source.offset, label.replay_id):
            return "repeated"
        return "passed"

    def is_full(self) -> bool:
        return self.limit is not None and self.passed >= self.limit


def run(
    settings: Settings,
    lane: Lane,
    start_us: Micros | None,
    selection: Selection,
    emit: Emit,
    stop: Stop,
    ready: threading.Event,
) -> None:
    """Records of the labels topic -> labels -> those that are wanted -> out, until full, stopped or unheard.

    `ready` is set once no label can be missed any more.
    """
    topic = TopicNames.for_lane(settings.topic_prefix, lane).labels
    with Reader(settings) as reader:
        starts = stop.unless_stopped(lambda: reader.tail(topic) if start_us is None else reader.spans(topic, start_us))
        if starts is None:
            return
        ready.set()
        records = reader.follow(starts)
        for record, label in labels(records, registry_of(settings), selection.undecodable, stop):
            if selection.takes(label):
                emit(label, record)
            if selection.is_full():
                return


def labels(
    records: Iterator[ConsumedRecord | None], registry: Registry | None, undecodable: dict[str, int], stop: Stop
) -> Iterator[tuple[ConsumedRecord, Label]]:
    """What can be decoded; the rest is counted by its reason. Ends when stopped or when nobody reads stdout."""
    for record in records:
        if stop.is_set() or (record is None and reader_is_gone()):
            return
        if record is None:
            continue
        try:
            yield record, codec.decode(Label, record.value, registry)
        except BadFrame as bad:
            metrics.LABELS_READ.labels("undecodable").inc()
            if not undecodable:
                print(
                    f"sightline: {record.topic}/{record.partition} offset {record.offset} is no Label ({bad})",
                    file=sys.stderr,
                )
            undecodable[bad.reason] = undecodable.get(bad.reason, 0) + 1


def reader_is_gone() -> bool:
    """Whether stdout is a pipe whose other end was closed, as after `| head`: noticed also while no label comes."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(events & select.POLLERR for _, events in poll.poll(0))
    except (OSError, ValueError):
        return False


def print_json(label: Label, record: ConsumedRecord) -> None:
    print(json_line(label, record.topic, record.partition, record.offset), flush=True)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would exit with 1; a reader that has seen enough is no fault.
        raise BrokenPipeError


def table() -> Emit:
    """Prints the column heads, and gives what prints a line under them."""
    console = _Console(highlight=False, soft_wrap=True)
    columns = Columns(console.width)
    console.print(columns.header())

    def emit(label: Label, _record: ConsumedRecord) -> None:
        console.print(columns.line(label))
        sys.stdout.flush()

    return emit


def report(selection: Selection) -> None:
    """On stderr, only what a person would not expect."""
    if selection.undecodable:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(selection.undecodable.items()))
        print(f"sightline: {sum(selection.undecodable.values())} records were no Label ({reasons})", file=sys.stderr)
    if selection.dedupe and selection.dedupe.repeats:
        print(f"sightline: {selection.dedupe.repeats} repeated labels were left out", file=sys.stderr)
