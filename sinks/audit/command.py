"""`sightline audit`: proves for a range of time that every frame has become a label or a dead letter.

Frames are taken by the timestamps of their records, wherever they lie; outcomes by the coordinates that they refer
to. A frame that is still on its way counts as missing: give the pipeline time, or `--wait`.

An outcome tells when its frame was captured, so only offsets without one are read from the frames topic, and a sound
day is proved without fetching its images. Clocks of cameras differ, so a frame of the range may lie anywhere behind
its beginning: from there to the log's end, past `--to`, the audit reads every outcome, keeps four bytes an offset,
and fetches what has no outcome, which is the backlog of a pipeline that is behind.

Labels outlive frames: the offsets that outcomes refer to also show whether retention took a frame without one.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from infra.commands.options import FromOption, JsonOption, LaneOption, ToOption
from infra.kafka.clients import require_kafka
from infra.kafka.reader import Reader
from infra.kafka.spans import Period, Span
from infra.kafka.topics import Lane, TopicNames
from infra.process import logs
from infra.process.lifecycle import Deadline
from infra.process.times import now_us, parse_time_range
from infra.settings import Settings, load_settings
from schemas.coordinates import TopicPartition
from schemas.records import Label, Micros
from sinks.audit.expired import Expired
from sinks.audit.ledger import Balance, Ledger
from sinks.audit.outcomes import CLOCK_MARGIN_US, Cut, Outcomes
from sinks.audit.text import describe

HOUR_US = 3_600_000_000
POLL_S = 0.5
# While outcomes keep coming nobody looks up which of the open offsets hold a frame.
STILL_S = 2.0

WaitOption = Annotated[
    float, typer.Option("--wait", metavar="SEC", min=0, help="Wait up to so long for frames that are on their way.")
]


def command(
    *,
    from_: FromOption = None,
    to: ToOption = None,
    wait_s: WaitOption = 0.0,
    as_json: JsonOption = False,
    lane: LaneOption = "live",
) -> None:
    """Prove that every frame of a time range has its outcome; without --from and --to, every frame that is kept.

    Exit code 1, and the coordinates of the frames, when any has none. With --json one object.
    """
    settings = load_settings()
    logs.setup(settings.log)
    from_us, to_us = parse_time_range(from_, to, now_us())
    require_kafka(settings)
    with Reader(settings) as reader:
        audit = Audit.of_time(settings, reader, lane, from_us, to_us)
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
        *,
        period: Period | None = None,
        expired: dict[TopicPartition, Expired] | None = None,
        since_us: Micros | None = None,
    ) -> None:
        """`frames`: the range to prove, or its part that lies in `period`. `outcomes`: where on labels and dead
        letters its outcomes can begin.

        `on_label` gets the first label of every frame of the range. `expired`: what retention took before the frames.
        `since_us`: that outcomes begin at this time is a guess, and earlier ones may have to be read.
        """
        self._names = TopicNames.for_lane(settings.topic_prefix, lane)
        self._reader = reader
        self._frames = list(frames)
        self._period = period or Period()
        self.ledger = Ledger(self._frames, period, expired)
        self._outcomes = Outcomes(settings, reader, self._names, outcomes, self.ledger, on_label, since_us)

    @staticmethod
    def of_time(
        settings: Settings, reader: Reader, lane: Lane, from_us: Micros | None, to_us: Micros | None
    ) -> "Audit":
        """Frames that are there now, not older than `from_us` but older than `to_us`; None is no limit."""
        names = TopicNames.for_lane(settings.topic_prefix, lane)
        frames = reader.spans(names.frames, from_us)
        since = None if from_us is None else from_us - CLOCK_MARGIN_US
        outcomes = reader.spans(names.labels, since) + reader.spans(names.dead, since)
        period = Period(from_us, to_us)
        # By the time that they are kept, none of this age was removed: no need to look for what is not there.
        kept_us = now_us() - settings.topics.frames_retention_h * HOUR_US
        used = [span for span in frames if len(span) or from_us is None or from_us < kept_us]
        expired = _expired(reader, used, outcomes, period)
        return Audit(settings, reader, lane, frames, outcomes, period=period, expired=expired, since_us=since)

    def settle(
        self, remaining_s: Callable[[], float] = lambda: 0.0, stop: Callable[[], bool] = lambda: False
    ) -> Balance:
        """Read the outcomes that are there, and wait for more as long as frames lack one and time remains.

        `stop` also ends the reading itself: what it cuts short gives a balance that is not complete. It is to turn
        true later than `remaining_s` ends, which leaves time for the last look.
        """
        opened, changed_s, cut = -1, time.monotonic(), Cut(stop)
        while True:
            self._outcomes.read(cut)
            count = self.ledger.open_count()
            if count != opened:
                opened, changed_s = count, time.monotonic()
            left_s = remaining_s()
            if left_s <= 0 or count == 0 or time.monotonic() - changed_s > STILL_S:
                self._verify(cut)
                self._outcomes.look_back(cut)
                opened = self.ledger.open_count()
            if opened == 0 or left_s <= 0 or cut.hit:
                return replace(self.ledger.balance(), complete=not cut.hit)
            time.sleep(min(POLL_S, left_s))

    def follow(self, frames_now: Callable[[], list[Span]]) -> None:
        """For a range that still grows: take in its frames up to now, and the outcomes that are there.

        What was read before is not read again, so that `settle` has little left to do.
        """

        def grown() -> list[Span]:
            self._frames = frames_now()
            return self._frames

        self._outcomes.read(Cut(lambda: False), grown)

    def _verify(self, cut: Cut) -> None:
        """Look up which of the offsets that no outcome tells of hold a frame of the range."""
        holes, known = self.ledger.unverified(), len(self._reader.expired)
        for record in self._reader.read(holes, cut):
            self.ledger.saw(record.topic_partition, record.offset, record.timestamp_ms)
        if cut.hit:
            return
        for span in holes:
            self.ledger.searched(span)
        for span in self._reader.expired[known:]:
            self.ledger.removed(span)

    def notes(self, balance: Balance) -> list[str]:
        """What a reader of the result must know to read it right."""
        found = []
        if balance.frames == 0 and balance.expired == 0:
            found.append("there is no frame in this range")
        starts = self._reader.log_starts(span.topic_partition for span in self._frames)
        cut = [span for span in self._frames if 0 < span.start <= starts[span.topic_partition]]
        if cut:
            where = "before this range" if self._period.from_us is None else "before or inside this range"
            found.append(
                f"retention has removed frames {where} on {len(cut)} of {len(self._frames)} partitions; "
                "those that had their outcome are not counted"
            )
        expired = sum(len(span) for span in self._reader.expired if span.topic == self._names.frames)
        if expired:
            found.append(f"retention removed {expired} offsets while they were looked up")
        if doubtful := self.ledger.expired_counts()[1]:
            found.append(
                f"retention removed {doubtful} offsets without an outcome that may have held no frame, as others on "
                "this topic (markers of transactions); they are not counted"
            )
        lacking = balance.missing_count or balance.expired
        if (lacking or cut) and self._outcomes.truncated():
            found.append(
                "retention has removed labels or dead letters too: "
                + ("what is missing may have had its outcome" if lacking else "of older frames nothing is known")
            )
        if self._outcomes.undecodable:
            found.append(f"{self._outcomes.undecodable} records on {self._names.labels} are no Label and were left out")
        return found


def _expired(reader: Reader, frames: list[Span], outcomes: list[Span], period: Period) -> dict[TopicPartition, Expired]:
    """The books of what retention took before the frames, for partitions where it may have been of the period."""
    log_starts = reader.log_starts(span.topic_partition for span in frames)
    cut = [span for span in frames if 0 < span.start <= log_starts[span.topic_partition]]
    truncated = [
        key for key, first in reader.log_starts(span.topic_partition for span in outcomes).items() if first > 0
    ]
    whole_from_ms = None
    if cut and truncated:
        first_ms = max(reader.first_times_ms(truncated).values())
        if first_ms < 0:
            return {}  # all were removed, of what time cannot be known
        whole_from_ms = first_ms + CLOCK_MARGIN_US // 1000
    return {span.topic_partition: Expired(span.start, period, whole_from_ms) for span in cut}


def audit_json(audit: Audit, balance: Balance) -> dict[str, Any]:
    """The contract of `audit --json`, and the notes."""
    return {**asdict(balance), "ok": balance.ok, "notes": audit.notes(balance)}
