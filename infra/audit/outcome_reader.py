"""Reads the labels and dead letters of a range of frames: forward in time, and backward where that is needed."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from infra.audit.ledger import Ledger
from infra.failures.dead_letters import frame_id_of
from infra.failures.outcomes import BATCHES_SKIPPED, FRAMES_SKIPPED
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.schema_registry import registry_of
from infra.kafka.spans import Span
from infra.kafka.topics import TopicNames
from infra.settings import Settings
from schemas import codec
from schemas.clocks import read_clock
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame, UnknownVersion
from schemas.headers import read_failure, redriven_letter
from schemas.records import Label, Micros

# Reading starts this long before the first frame, because clocks differ; `look_back` handles a larger difference.
CLOCK_MARGIN_US = 10 * 60 * 1_000_000


@dataclass(slots=True)
class StopLatch:
    """Asks `stop()` until it answers true, and keeps that answer in `hit`."""

    stop: Callable[[], bool]
    hit: bool = False

    def __call__(self) -> bool:
        self.hit = self.hit or self.stop()
        return self.hit


class OutcomeReader:
    """Counts every outcome that it reads in the ledger. `undecodable`: records on labels that are not valid labels.

    `newer` counts those of them that look as if a newer version had written them, and `first_newer` says of one which.
    `other_clocks` counts, by source, the frames of the range whose `captured_at` is far from the time of their record.
    `skipped` are the sentences of the stages about frames and micro-batches that were gone before they had read them.
    """

    def __init__(
        self,
        settings: Settings,
        reader: Reader,
        names: TopicNames,
        spans: Iterable[Span],
        ledger: Ledger,
        on_label: Callable[[Label], None],
        since_us: Micros | None = None,
    ) -> None:
        """`spans`: where to start reading. `since_us`: the time of that start, if earlier outcomes may be needed."""
        self._names, self._registry = names, registry_of(settings)
        self._reader, self._ledger, self._on_label = reader, ledger, on_label
        self._next = {span.topic_partition: span.start for span in spans}
        self._first = dict(self._next)
        self._since_us = since_us
        # Per partition of frames, the highest offset that one of the earliest outcomes names. An outcome is one of the
        # earliest when it was written before `_earliest_us`.
        self._reach: dict[TopicPartition, int] = {}
        self._earliest_us = 0 if since_us is None else since_us + CLOCK_MARGIN_US
        self._skips = {(BATCHES_SKIPPED, names.batches), (FRAMES_SKIPPED, names.frames)}
        self.undecodable = self.newer = 0
        self.first_newer = ""
        self.other_clocks: Counter[str] = Counter()
        self.skipped: dict[str, None] = {}

    def read(self, cut: StopLatch, frames_now: Callable[[], Iterable[Span]] = tuple) -> None:
        """Read every label and dead letter that was written since the last call.

        `frames_now` is called after the end of this reading is fixed, so that every outcome belongs to a known frame.
        """
        spans = self._written_since()
        self._ledger.grow(frames_now())
        for record in self._reader.read(spans, cut):
            source = self._take(record)
            if source and record.timestamp_ms * 1000 < self._earliest_us:
                self._reaches(source)
        self._next.update((span.topic_partition, span.end) for span in spans)

    def look_back(self, cut: StopLatch) -> None:
        """Read earlier outcomes in growing steps, as long as they may belong to frames that have no outcome yet.

        The outcomes of a camera whose clock is ahead were written before the timestamps of its frames. Outcomes are
        written roughly in the order of a partition's frames. So once the earliest outcomes that were read name only
        frames before the first one without an outcome, still earlier outcomes cannot belong to that frame.
        """
        step_us = CLOCK_MARGIN_US
        while self._since_us is not None and not cut.hit and self._may_lie_before():
            self._since_us = max(0, self._since_us - step_us)
            step_us *= 2
            self._reach.clear()
            spans = self._written_before(self._since_us or None)
            for record in self._reader.read(spans, cut):
                if source := self._take(record):
                    self._reaches(source)
            self._first.update((span.topic_partition, span.start) for span in spans)
            starts = self._reader.log_starts(self._first)
            if self._since_us == 0 or all(first <= starts[key] for key, first in self._first.items()):
                self._since_us = None

    def truncated(self) -> bool:
        """Whether retention has removed outcomes at the point where reading started."""
        return any(0 < self._first[key] <= first for key, first in self._reader.log_starts(self._first).items())

    def _written_since(self) -> list[Span]:
        """The spans to read next: known partitions from the end of the last reading, new ones from the log's start."""
        topics = sorted({topic for topic, _ in self._next})
        return [
            Span(span.topic, span.partition, max(span.start, self._next.get(span.topic_partition, 0)), span.end)
            for topic in topics
            for span in self._reader.spans(topic)
        ]

    def _written_before(self, since_us: Micros | None) -> list[Span]:
        """The spans of the known partitions between this time and the point where reading started."""
        topics = sorted({topic for topic, _ in self._first})
        return [
            Span(
                span.topic,
                span.partition,
                min(span.start, self._first[span.topic_partition]),
                self._first[span.topic_partition],
            )
            for topic in topics
            for span in self._reader.spans(topic, since_us)
            if span.topic_partition in self._first
        ]

    def _may_lie_before(self) -> bool:
        """Whether a frame without an outcome may have one before the earliest outcomes that were read."""
        return any(offset <= self._reach.get(key, offset) for key, offset in self._ledger.lowest_open().items())

    def _reaches(self, source: Coordinates) -> None:
        key = source.topic_partition
        self._reach[key] = max(source.offset, self._reach.get(key, 0))

    def _take(self, record: ConsumedRecord) -> Coordinates | None:
        """Count the record in the ledger. Returns the coordinates of its frame; None when the record names no frame."""
        return self._take_dead(record) if record.topic == self._names.dead else self._take_label(record)

    def _take_label(self, record: ConsumedRecord) -> Coordinates | None:
        try:
            label = codec.decode(Label, record.value, self._registry)
        except BadFrame as error:
            self.undecodable += 1
            if isinstance(error, UnknownVersion):
                self.newer += 1
                self.first_newer = (
                    self.first_newer or f"{record.topic}/{record.partition} offset {record.offset} ({error})"
                )
            return None
        clock_ms = read_clock(record.headers)
        frame_ms = label.captured_at // 1000 if clock_ms is None else clock_ms
        if self._ledger.label(label.source, frame_ms, label.frame_id, record.timestamp_ms):
            self.other_clocks[label.source_id] += clock_ms is not None
            self._on_label(label)
        return label.source

    def _take_dead(self, record: ConsumedRecord) -> Coordinates | None:
        failure = read_failure(record.headers)
        if failure is None:
            return None
        if (failure.error_class, failure.source.topic) in self._skips:
            self.skipped[failure.message] = None
            return None
        if redriven_letter(record.headers) is not None:
            self._ledger.redriven(failure.source)
        else:
            frame_id = frame_id_of(record, self._registry)
            self._ledger.dead_letter(failure.source, failure.timestamp_ms or None, frame_id, record.timestamp_ms)
        return failure.source
