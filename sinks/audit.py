"""`sightline audit`: proves for a range of time that every frame has become a label or a dead letter.

Frames are taken by the timestamps of their records, wherever they lie; outcomes by the coordinates that they refer
to. A frame that is still on its way counts as missing: give the pipeline time, or `--wait`.

An outcome tells when its frame was captured, so only offsets without one are read from the frames topic, and a sound
day is proved without fetching its images. Clocks of cameras differ, so a frame of the range may lie anywhere behind
its beginning: from there to the log's end, past `--to`, the audit reads every outcome, keeps four bytes an offset,
and fetches what has no outcome, which is the backlog of a pipeline that is behind.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from infra import logs
from infra.kafka import require_kafka
from infra.lifecycle import Deadline
from infra.reader import Reader
from infra.registry import registry_of
from infra.settings import Settings, load_settings
from infra.spans import Period, Record, Span
from infra.times import now_us, parse_time
from infra.topics import Lane, TopicNames
from schemas import codec
from schemas.errors import BadFrame
from schemas.headers import read_failure, redriven_letter
from schemas.records import Label, Micros
from sinks.audit_text import describe
from sinks.ledger import Balance, Ledger
from sinks.subscribe import LaneName

# Outcomes are searched from this much before the first frame on: the clocks of cameras and workers differ.
CLOCK_MARGIN_US = 10 * 60 * 1_000_000
POLL_S = 0.5
# While outcomes keep coming nobody looks up which of the open offsets hold a frame.
STILL_S = 2.0

FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="T", help="Frames from this time on: ISO 8601 or -10m (default: all there are)."),
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="T", help="Frames before this time (default: all).")]
WaitOption = Annotated[
    float, typer.Option("--wait", metavar="SEC", min=0, help="Wait up to so long for frames that are on their way.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
LaneOption = Annotated[LaneName, typer.Option(help="The live lane or the replay lane.")]


def command(
    *,
    from_: FromOption = None,
    to: ToOption = None,
    wait_s: WaitOption = 0.0,
    as_json: JsonOption = False,
    lane: LaneOption = LaneName.LIVE,
) -> None:
    """Prove that every frame of a time range has its outcome; exit code 1 and the coordinates where one has not."""
    settings = load_settings()
    logs.setup(settings.log)
    now = now_us()
    from_us = parse_time(from_, now) if from_ else None
    to_us = parse_time(to, now) if to else None
    require_kafka(settings)
    with Reader(settings) as reader:
        audit = Audit.of_time(settings, reader, lane.value, from_us, to_us)
        balance = audit.settle(Deadline(wait_s).remaining_s)
    if as_json:
        print(json.dumps(audit_json(audit, balance)))
    else:
        print(describe(balance, audit.notes(balance)))
    if not balance.ok:
        sys.exit(1)


class Audit:
    """One range of frames and the outcomes that were found for it so far."""

    def __init__(
        self,
        settings: Settings,
        reader: Reader,
        lane: Lane,
        frames: Iterable[Span],
        outcomes: Iterable[Span],
        on_label: Callable[[Label], None] = lambda _label: None,
        period: Period | None = None,
    ) -> None:
        """`frames`: the range to prove, or its part that lies in `period`. `outcomes`: where on labels and dead
        letters its outcomes can begin.

        `on_label` gets the first label of every frame of the range.
        """
        self._names = TopicNames.for_lane(settings.topic_prefix, lane)
        self._registry = registry_of(settings)
        self._reader = reader
        self._frames = list(frames)
        self._next = {span.key: span.start for span in outcomes}
        self._first = dict(self._next)
        self._undecodable = 0
        self._on_label = on_label
        self.ledger = Ledger(self._frames, period)

    @staticmethod
    def of_time(
        settings: Settings, reader: Reader, lane: Lane, from_us: Micros | None, to_us: Micros | None
    ) -> "Audit":
        """Frames that are there now, not older than `from_us` but older than `to_us`; None is no limit."""
        names = TopicNames.for_lane(settings.topic_prefix, lane)
        frames = reader.spans(names.frames, from_us)
        since = None if from_us is None else from_us - CLOCK_MARGIN_US
        outcomes = reader.spans(names.labels, since) + reader.spans(names.dead, since)
        return Audit(settings, reader, lane, frames, outcomes, period=Period(from_us, to_us))

    def settle(self, remaining_s: Callable[[], float] = lambda: 0.0) -> Balance:
        """Read the outcomes that are there, and wait for more as long as frames lack one and time remains."""
        opened, changed_s = -1, time.monotonic()
        while True:
            self.read_outcomes()
            count = self.ledger.open_count()
            if count != opened:
                opened, changed_s = count, time.monotonic()
            left_s = remaining_s()
            if left_s <= 0 or count == 0 or time.monotonic() - changed_s > STILL_S:
                self.verify()
                opened = self.ledger.open_count()
            if opened == 0 or left_s <= 0:
                return self.ledger.balance()
            time.sleep(min(POLL_S, left_s))

    def read_outcomes(self) -> None:
        """Take in every label and dead letter that was written since the last time."""
        spans = self._written_since()
        for record in self._reader.read(spans):
            if record.topic == self._names.dead:
                self._take_dead(record)
            else:
                self._take_label(record)
        self._next.update((span.key, span.end) for span in spans)

    def verify(self) -> None:
        """Look up which of the offsets that no outcome tells of hold a frame of the range."""
        holes = self.ledger.unverified()
        for record in self._reader.read(holes):
            self.ledger.saw(record.span_key, record.offset, record.timestamp_ms)
        for span in holes:
            self.ledger.searched(span)

    def notes(self, balance: Balance) -> list[str]:
        """What a reader of the result must know to read it right."""
        found = []
        if balance.frames == 0:
            found.append("there is no frame in this range")
        starts = self._reader.log_starts(span.key for span in self._frames)
        cut = [span for span in self._frames if 0 < span.start == starts[span.key]]
        if cut:
            found.append(
                f"retention has removed frames before this range on {len(cut)} of {len(self._frames)} partitions; "
                "they are not counted"
            )
        expired = sum(len(span) for span in self._reader.expired if span.topic == self._names.frames)
        if expired:
            found.append(f"retention removed {expired} offsets while they were looked up; they are not counted")
        if balance.missing_count and any(
            self._first[key] > 0 and self._first[key] == first
            for key, first in self._reader.log_starts(self._first).items()
        ):
            found.append("retention has removed labels or dead letters too: what is missing may have had its outcome")
        if self._undecodable:
            found.append(f"{self._undecodable} records on {self._names.labels} are no Label and were left out")
        return found

    def _written_since(self) -> list[Span]:
        """New partitions from their beginning, known ones from where reading ended."""
        topics = sorted({topic for topic, _ in self._next})
        return [
            Span(span.topic, span.partition, max(span.start, self._next.get(span.key, 0)), span.end)
            for topic in topics
            for span in self._reader.spans(topic)
        ]

    def _take_label(self, record: Record) -> None:
        try:
            label = codec.decode(Label, record.value, self._registry)
        except BadFrame:
            self._undecodable += 1
            return
        if self.ledger.label(label.source, label.captured_at // 1000):
            self._on_label(label)

    def _take_dead(self, record: Record) -> None:
        failure = read_failure(record.headers)
        if failure is None:
            return
        if redriven_letter(record.headers) is not None:
            self.ledger.redriven(failure.source)
        else:
            self.ledger.dead_letter(failure.source, failure.timestamp_ms or None)


def audit_json(audit: Audit, balance: Balance) -> dict[str, Any]:
    """The contract of `audit --json`, and the notes."""
    return {**asdict(balance), "ok": balance.ok, "notes": audit.notes(balance)}
