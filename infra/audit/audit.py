"""The audit: every frame of a time range has become a label or a dead letter, or is named.

A frame belongs to the range by the timestamp of its record, at whatever offset it lies. An outcome (a label or a dead
letter) belongs to a frame by the coordinates that the outcome names. A frame that is still being processed counts as
missing; `--wait` gives the pipeline time to finish it.

An outcome tells the time of its frame's record (`captured_at`, or the header `sightline-clock`). So the audit fetches
from the frames topic only the offsets that have no outcome, and proves a day without losses without fetching its
images. The clocks of cameras differ, so a frame of the range can lie anywhere after the first offset of the range. The
audit therefore reads every outcome from that offset to the end of the log, also past `--to`; it keeps thirteen bytes
an offset in memory and fetches every frame without an outcome. Where the pipeline is behind, it fetches the backlog.

Labels are kept longer than frames. The offsets that outcomes name therefore also show whether retention removed a frame
that had no outcome.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from infra.audit.balance import Balance
from infra.audit.compare import compare_frames
from infra.audit.expired import ExpiredOffsets
from infra.audit.ledger import Ledger
from infra.audit.outcome_reader import CLOCK_MARGIN_US, OutcomeReader, StopLatch
from infra.failures.dead_letters import frame_id_of
from infra.kafka.reader import Reader
from infra.kafka.schema_registry import registry_of
from infra.kafka.spans import Period, Span
from infra.kafka.topics import Lane, TopicNames
from infra.process.times import now_us
from infra.settings import Settings
from schemas.coordinates import TopicPartition
from schemas.records import Label, Micros

HOUR_US = 3_600_000_000
POLL_S = 0.5
MAX_SOURCES_NAMED = 5
MAX_RANGES_NAMED = 12
# The audit looks up which offsets without an outcome hold a frame only after their number was unchanged for this long.
STILL_S = 2.0


class Audit:
    """The audit of one range of frames, with the outcomes that were read so far."""

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
        expired: dict[TopicPartition, ExpiredOffsets] | None = None,
        since_us: Micros | None = None,
    ) -> None:
        """`frames`: the offsets to prove; with `period`, only the frames of that time.

        `outcomes`: where to start reading labels and dead letters.

        `on_label` is called with the first label of every frame of the range. `expired`: the offsets before `frames`
        that retention removed. `since_us`: the time at which `outcomes` start, if it is a guess; the audit then reads
        earlier outcomes when it needs them. None: earlier outcomes are never needed.
        """
        self._names = TopicNames.for_lane(settings.topic_prefix, lane)
        self._reader, self._registry = reader, registry_of(settings)
        self._frames = list(frames)
        self._others = 0
        self._period = period or Period()
        self.ledger = Ledger(self._frames, period, expired)
        self._outcomes = OutcomeReader(settings, reader, self._names, outcomes, self.ledger, on_label, since_us)

    @staticmethod
    def of_time(
        settings: Settings, reader: Reader, lane: Lane, from_us: Micros | None, to_us: Micros | None
    ) -> "Audit":
        """The audit of the frames that Kafka holds now from `from_us` on and before `to_us`; None means no limit."""
        names = TopicNames.for_lane(settings.topic_prefix, lane)
        frames = reader.spans(names.frames, from_us)
        since = None if from_us is None else from_us - CLOCK_MARGIN_US
        outcomes = reader.spans(names.labels, since) + reader.spans(names.dead, since)
        period = Period(from_us, to_us)
        # A range younger than the retention time has lost no frame, so an empty partition needs no search for one.
        kept_us = now_us() - settings.topics.frames_retention_h * HOUR_US
        used = [span for span in frames if len(span) or from_us is None or from_us < kept_us]
        expired = _expired(reader, used, outcomes, period)
        return Audit(settings, reader, lane, frames, outcomes, period=period, expired=expired, since_us=since)

    def settle(
        self, remaining_s: Callable[[], float] = lambda: 0.0, stop: Callable[[], bool] = lambda: False
    ) -> Balance:
        """Read all outcomes written so far; while frames have none and time remains, wait and read again.

        `stop` also interrupts the reading, and the balance is then not `complete`. `stop` should become true only some
        time after `remaining_s` has reached 0, because the last look-up of frames happens in between.
        """
        opened, changed_s, cut = -1, time.monotonic(), StopLatch(stop)
        while True:
            self._outcomes.read(cut)
            count = self.ledger.open_count()
            if count != opened:
                opened, changed_s = count, time.monotonic()
            left_s = remaining_s()
            if left_s <= 0 or count == 0 or time.monotonic() - changed_s > STILL_S:
                self._verify(cut)
                self._outcomes.look_back(cut)
                self._compare(cut)
                opened = self.ledger.open_count()
            if opened == 0 or left_s <= 0 or cut.hit:
                return replace(self.ledger.balance(), complete=not cut.hit)
            time.sleep(min(POLL_S, left_s))

    def follow(self, frames_now: Callable[[], list[Span]]) -> None:
        """For a range that still grows: add the frames written since, and read the outcomes written since.

        Nothing is read twice, so a later `settle` has little left to read.
        """

        def grown() -> list[Span]:
            self._frames = frames_now()
            return self._frames

        self._outcomes.read(StopLatch(lambda: False), grown)

    def _verify(self, cut: StopLatch) -> None:
        """Fetch the offsets without an outcome, to learn which of them hold a frame of the range."""
        holes, known = self.ledger.unverified(), len(self._reader.expired)
        for record in self._reader.read(holes, cut):
            self.ledger.frame_found(record.topic_partition, record.offset, record.timestamp_ms)
            frame_id = frame_id_of(record, self._registry)
            self._others += not self.ledger.fetched(record.coordinates, frame_id, record.timestamp_ms)
        if cut.hit:
            return
        for span in holes:
            self.ledger.searched(span)
        for span in self._reader.expired[known:]:
            self.ledger.retention_removed(span)

    def _compare(self, cut: StopLatch) -> None:
        """Fetch the frames whose outcomes may be those of an earlier topic of this name, and their neighbours."""
        self._others += compare_frames(self.ledger, self._reader, self._registry, cut)

    def notes(self, balance: Balance) -> list[str]:
        """The sentences that a reader needs to interpret the result."""
        found = []
        if balance.frames == 0 and balance.expired == 0:
            found.append("there is no frame in this range")
        starts = self._reader.log_starts(span.topic_partition for span in self._frames)
        cut = [span for span in self._frames if 0 < span.start <= starts[span.topic_partition]]
        if cut:
            where = "before this range" if self._period.from_us is None else "before or inside this range"
            found.append(
                f"retention has removed frames {where} on {len(cut)} of {len(self._frames)} partitions; "
                "removed frames that had an outcome are not counted"
            )
        expired = sum(len(span) for span in self._reader.expired if span.topic == self._names.frames)
        if expired:
            found.append(f"retention removed {expired} offsets while the audit looked them up")
        if doubtful := self.ledger.expired_counts()[1]:
            found.append(
                f"retention removed {doubtful} offsets without an outcome that may have held no frame, because this "
                "topic has offsets without a frame (transaction markers); they are not counted"
            )
        lacking = balance.missing_count or balance.expired
        if (lacking or cut) and self._outcomes.truncated():
            found.append(
                "retention has removed labels or dead letters too: "
                + (
                    "the missing frames may have had an outcome"
                    if lacking
                    else "whether older frames had an outcome is not known"
                )
            )
        if self._others:
            found.append(
                f"{self._names.frames} was made again: {self._others} frames have the coordinates of earlier ones, "
                "whose outcomes do not count for them"
            )
        found += skipped_notes(list(self._outcomes.skipped))
        if clocks := +self._outcomes.other_clocks:
            found.append(other_clocks_note(clocks))
        if self._outcomes.undecodable:
            found.append(
                f"{self._outcomes.undecodable} records on {self._names.labels} are not valid labels and were left out"
            )
        if newer := self.newer_labels():
            found.append(f"{newer}: missing frames may have a label; upgrade this program and look again")
        return found

    def newer_labels(self) -> str:
        """Which labels could not be read because a newer version wrote them, as it seems; empty if there are none."""
        if not self._outcomes.newer:
            return ""
        first = self._outcomes.first_newer
        return f"{self._outcomes.newer} of them have a schema version that is not known here, the first at {first}"


def skipped_notes(skipped: list[str]) -> list[str]:
    """What the stages found gone, a note for each range; they do not know which frames were in it."""
    notes = skipped[:MAX_RANGES_NAMED]
    if (hidden := len(skipped) - len(notes)) > 0:
        notes.append(f"{hidden} more ranges of frames or micro-batches are gone")
    return notes


def other_clocks_note(frames_by_source: Counter[str]) -> str:
    """Which sources have a clock that is off, as far as their frames tell."""
    most = [source_id for source_id, _ in frames_by_source.most_common(MAX_SOURCES_NAMED)]
    more = len(frames_by_source) - len(most)
    return (
        f"the clocks of {', '.join(most)}{f' and {more} more' if more else ''} are off: "
        f"{frames_by_source.total()} labelled frames count by the time of their record and not by their capture time"
    )


def _expired(
    reader: Reader, frames: list[Span], outcomes: list[Span], period: Period
) -> dict[TopicPartition, ExpiredOffsets]:
    """The offsets that retention removed before `frames`, of the partitions where they may belong to the period."""
    log_starts = reader.log_starts(span.topic_partition for span in frames)
    cut = [span for span in frames if 0 < span.start <= log_starts[span.topic_partition]]
    truncated = [
        key for key, first in reader.log_starts(span.topic_partition for span in outcomes).items() if first > 0
    ]
    whole_from_ms = None
    if cut and truncated:
        first_ms = max(reader.first_times_ms(truncated).values())
        if first_ms < 0:
            return {}  # every outcome was removed, so the time of the removed frames cannot be known
        whole_from_ms = first_ms + CLOCK_MARGIN_US // 1000
    return {span.topic_partition: ExpiredOffsets(span.start, period, whole_from_ms) for span in cut}
