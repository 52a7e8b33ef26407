"""`sightline subscribe`: prints labels to stdout: as columns for people, as JSON lines for programs.

A subscriber reads without a consumer group and commits nothing. So every subscriber sees every label, and a slow one
slows down nothing else.
"""

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.commands.options import FromOption, HttpPortOption, LaneOption, SourceIdOption, ToOption
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.schema_registry import registry_of
from infra.kafka.start_checks import require_topics
from infra.kafka.topic_ids import read_topic_ids
from infra.kafka.topics import TopicNames
from infra.process import logs, metrics
from infra.process.health import HealthServer
from infra.process.lifecycle import Stop
from infra.process.times import now_us
from infra.settings import Settings, load_settings
from schemas import codec
from schemas.codec import Registry
from schemas.errors import BadFrame
from schemas.label_json import json_line
from schemas.records import Decision, Label
from sinks.base.dedupe import Deduplicator
from sinks.base.label_text import Columns
from sinks.subscribe.bounds import Bounds
from sinks.subscribe.filters import LabelFilter
from sinks.subscribe.positions import Positions


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


Emit = Callable[[Label, ConsumedRecord], None]

ClassOption = Annotated[
    str | None,
    typer.Option(
        "--class", metavar="GLOB", help="Only labels whose best prediction is this class, by name or class id."
    ),
]
ProbabilityOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Only labels whose best prediction is at least this probable.")
]
DecisionOption = Annotated[Decision | None, typer.Option(case_sensitive=False, help="Only labels with this decision.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="End after this many labels.")]
FormatOption = Annotated[
    Format | None, typer.Option("--format", help="Default: table on a terminal, otherwise json.", show_default=False)
]
CorrectionsOption = Annotated[
    bool, typer.Option("--corrections", help="Also labels of earlier frames that were promoted from replays.")
]
PositionsOption = Annotated[
    Path | None,
    typer.Option(
        "--positions",
        metavar="FILE",
        help="Go on where the last one with this file ended, and note there how far this one gets. --from counts only "
        "while there is no such file.",
        dir_okay=False,
    ),
]
DedupeOption = Annotated[bool, typer.Option("--dedupe", help="Leave out further labels of the same frame.")]


def command(
    *,
    source_id: SourceIdOption = None,
    class_: ClassOption = None,
    min_probability: ProbabilityOption = None,
    decision: DecisionOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    positions: PositionsOption = None,
    limit: LimitOption = None,
    format_: FormatOption = None,
    corrections: CorrectionsOption = False,
    dedupe: DedupeOption = False,
    lane: LaneOption = "live",
    http_port: HttpPortOption = None,
) -> None:
    """Print labels as they are written, or from the time --from on: as a table, or as one JSON object a line.

    A time is that of the label's record. With --to reading ends at offsets that are fixed at the start;
    `--to end` is the end that there is now.
    Of the live lane, corrections (labels promoted from replays) are shown only with --corrections.
    Health and metrics are served only if --http-port is given. The exit code is 0 after Ctrl-C, after SIGTERM, and when
    the program that reads the output closes the pipe.
    """
    settings = load_settings({"http": {"port": http_port}})
    logs.setup(settings.log)
    bounds = Bounds.parse(from_, to, now_us(), with_positions=positions is not None)
    stop = Stop().install()
    topic = TopicNames.for_lane(settings.topic_prefix, lane).labels
    require_topics(settings, reads=[topic])
    kept = None if positions is None else Positions.of(positions, topic, read_topic_ids(settings, [topic])[topic])
    selection = Selection(
        LabelFilter(source_id, class_, min_probability, decision, corrections),
        Deduplicator() if dedupe else None,
        limit,
    )
    format_ = format_ or (Format.TABLE if sys.stdout.isatty() else Format.JSON)
    emit, ready = table() if format_ is Format.TABLE else print_json, threading.Event()
    try:
        with ExitStack() as closing:
            if http_port is not None:
                waiting = "the broker has not told yet at which offsets to start"
                closing.enter_context(HealthServer(settings.http, ready=lambda: None if ready.is_set() else waiting))
            run(settings, Reading(topic, bounds.going_on(kept), kept), selection, emit, stop, ready)
    except BrokenPipeError:
        # The reader, such as `| head`, closed the pipe. Python flushes stdout at exit, which must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    report(selection)


@dataclass(slots=True)
class Selection:
    """Which labels are printed, and how many records were not."""

    wanted: LabelFilter
    dedupe: Deduplicator | None = None
    limit: int | None = None
    passed: int = 0
    undecodable: dict[str, int] = field(default_factory=dict)
    expired: int = 0

    def takes(self, label: Label) -> bool:
        """Whether to print this label. Only labels that pass the filter move the window of the deduplication."""
        result = self._result(label)
        metrics.LABELS_READ.labels(result).inc()
        self.passed += result == "passed"
        return result == "passed"

    def _result(self, label: Label) -> str:
        source = label.source
        if not self.wanted.passes(label):
            return "filtered"
        if self.dedupe and not self.dedupe.is_first(
            source.topic, source.partition, source.offset, label.replay_id, label.frame_id, label.revision
        ):
            return "repeated"
        return "passed"

    def is_full(self) -> bool:
        return self.limit is not None and self.passed >= self.limit


@dataclass(frozen=True, slots=True)
class Reading:
    """What a subscriber reads; `positions`: of the file that notes how far it got."""

    topic: str
    bounds: Bounds
    positions: Positions | None = None


def run(
    settings: Settings, reading: Reading, selection: Selection, emit: Emit, stop: Stop, ready: threading.Event
) -> None:
    """Read records, decode labels, select, print; until the end, the limit, `stop`, or until stdout is closed.

    `ready` is set when the start offsets are known: no label that is written later is missed.
    """
    bounds, positions = reading.bounds, reading.positions
    with Reader(settings) as reader, saved(positions):
        spans = stop.unless_stopped(lambda: bounds.spans(reader, reading.topic, positions))
        if spans is None:
            return
        if positions is not None:
            positions.began(spans)
        ready.set()

        def over() -> bool:
            return stop.is_set() or stdout_is_closed()

        records = reader.read(spans, over) if bounds.has_end else reader.follow(spans)
        for record, label in decoded_labels(records, registry_of(settings), selection.undecodable, stop):
            if bounds.holds(record.timestamp_ms) and selection.takes(label):
                emit(label, record)
            if positions is not None:
                positions.read(record)
                positions.save_when_due(time.monotonic())
            if selection.is_full():
                return
        selection.expired = sum(map(len, reader.expired))
        if positions is not None and bounds.has_end and not over():
            positions.ended(spans)


@contextmanager
def saved(positions: Positions | None) -> Iterator[None]:
    """A block at whose end, whatever it is, the positions are saved."""
    try:
        yield
    finally:
        if positions is not None:
            positions.save()


def decoded_labels(
    records: Iterator[ConsumedRecord | None], registry: Registry | None, undecodable: dict[str, int], stop: Stop
) -> Iterator[tuple[ConsumedRecord, Label]]:
    """The labels among the records; others are counted by reason. Ends when `stop` is set or stdout is closed."""
    for record in records:
        if stop.is_set() or (record is None and stdout_is_closed()):
            return
        if record is None:
            continue
        try:
            yield record, codec.decode(Label, record.value, registry)
        except BadFrame as bad:
            metrics.LABELS_READ.labels("undecodable").inc()
            if not undecodable:
                print(
                    f"sightline: {record.topic}/{record.partition} offset {record.offset} is not a valid label ({bad})",
                    file=sys.stderr,
                )
            undecodable[bad.reason] = undecodable.get(bad.reason, 0) + 1


def stdout_is_closed() -> bool:
    """Whether stdout is a pipe whose reader has closed it, such as `| head`. Works also while no label arrives."""
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
        # Rich would exit with code 1, but a reader that closes the pipe is not an error.
        raise BrokenPipeError


def table() -> Emit:
    """Print the column headers. Returns the function that prints one label as a line."""
    console = _Console(highlight=False, soft_wrap=True)
    columns = Columns(console.width)
    console.print(columns.header())

    def emit(label: Label, _record: ConsumedRecord) -> None:
        console.print(columns.line(label))
        sys.stdout.flush()

    return emit


def report(selection: Selection) -> None:
    """Print to stderr what was not printed to stdout, or was not checked; nothing where there is nothing to say."""
    if selection.undecodable:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(selection.undecodable.items()))
        print(
            f"sightline: {sum(selection.undecodable.values())} records were not valid labels ({reasons})",
            file=sys.stderr,
        )
    if selection.expired:
        print(f"sightline: retention removed {selection.expired} offsets before they were read", file=sys.stderr)
    if selection.dedupe and selection.dedupe.repeats:
        print(f"sightline: {selection.dedupe.repeats} repeated labels were left out", file=sys.stderr)
    if selection.dedupe and selection.dedupe.beyond_window:
        print(
            f"sightline: {selection.dedupe.beyond_window} labels were too old for --dedupe to tell whether they are "
            "repeats; they were printed",
            file=sys.stderr,
        )
