"""Archives what a topic has that the archive has not: one partition after the other, a file at a time in memory."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from infra.kafka.reader import Reader
from infra.kafka.schema_registry import registry_of
from infra.kafka.spans import Span
from infra.process import logs, metrics
from infra.settings import ArchiveSettings, Settings
from ingest.archive.book import BookWriter
from ingest.archive.due import Tail, is_due, worth_reading
from ingest.archive.event_reader import EventReader
from ingest.archive.events import Keep, everything
from ingest.archive.layout import HOUR_MS
from ingest.archive.manifest import RETENTION, Gap
from ingest.archive.rows import row_of
from ingest.archive.slices import Slice, Slicer
from ingest.archive.write import SliceWriter, Stored
from schemas.errors import ArchiveError, SightlineError

log = logs.get(__name__)


@dataclass(slots=True)
class Result:
    """What a run has done so far. `gaps`: offsets by reason. `waiting`: offsets that were not due at its last look."""

    files: int = 0
    frames: int = 0
    bytes: int = 0
    removed_files: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    waiting: int = 0


class Archiver:
    """Use from one thread. `now_ms`: the wall clock."""

    def __init__(
        self,
        settings: Settings,
        reader: Reader,
        book: BookWriter,
        now_ms: Callable[[], int],
        *,
        keep_ms: int | None = None,
        events: EventReader | None = None,
    ) -> None:
        self._settings: ArchiveSettings = settings.archive
        self._reader, self._book, self._now_ms = reader, book, now_ms
        self._keep_ms, self._events = keep_ms, events
        # No frame in Kafka is older: its time may be ahead by as much as the retention.
        self._kept_ms = 2 * settings.topics.frames_retention_h * HOUR_MS
        self._registry = registry_of(settings)
        self._writer = SliceWriter(book)
        self._tails: dict[int, Tail] = {}
        self._settled_ms: int | None = None
        self.result = Result()

    def close(self) -> None:
        self._writer.close()

    def remove_strays(self) -> None:
        """Files that a killed run has left, and that do not count."""
        for path in list(self._book.strays()):
            log.info("a file that a run did not finish is removed", file=path)
            self._book.store.remove(path)

    def look(self, stop: Callable[[], bool], *, whole: bool) -> None:
        """Archive what is due, or with `whole` everything up to the present end; then remove what is too old.

        Raises NoRoom, ArchiveError or Unavailable; what was archived until then counts.
        """
        try:
            self._look(stop, whole)
        except SightlineError:
            self._count(self._writer.finish())
            raise

    def _look(self, stop: Callable[[], bool], whole: bool) -> None:
        topic = self._book.topic
        spans = self._reader.spans(topic)
        keep: Keep = everything
        if self._events is not None:
            horizon_ms = self._horizon_ms(whole)
            self._events.read(stop, self._settled_ms)
            keep = self._events.windows.holds
            if not whole:
                spans = self._decided(spans, horizon_ms)
        self.result.waiting = 0
        for span in spans:
            if not stop():
                self._partition(span, keep, stop, whole)
                self.result.waiting += max(0, span.end - (self._book.next_offset(span.partition) or span.start))
        if self._events is not None and not stop():
            self._settled_ms = horizon_ms
            self._events.windows.forget_before(self._now_ms() - self._kept_ms)
        if self._keep_ms is not None and not stop():
            self._remove_older(self._now_ms() - self._keep_ms)
        metrics.ARCHIVE_WAITING.set(self.result.waiting)
        metrics.ARCHIVE_LAST_LOOK.set(self._now_ms() / 1000)

    def _decided(self, spans: list[Span], horizon_ms: int) -> list[Span]:
        """The part of each range before its first frame that is not decided on."""
        starts = {span.partition: span.start for span in self._reader.spans(self._book.topic, horizon_ms * 1000)}
        return [
            Span(span.topic, span.partition, span.start, min(span.end, starts[span.partition]))
            for span in spans
            if span.partition in starts
        ]

    def _horizon_ms(self, whole: bool) -> int:
        """Frames before that time are decided on: every event that concerns them has been written, as far as known."""
        assert self._events is not None
        settle_ms = 0 if whole else self._settings.settle_s * 1000 + self._events.windows.only.before_ms
        return self._now_ms() - settle_ms

    def _partition(self, span: Span, keep: Keep, stop: Callable[[], bool], whole: bool) -> None:
        start = self._start(span)
        tail = self._tails.get(span.partition)
        if start >= span.end or not (whole or worth_reading(tail, start, span.end, self._now_ms(), self._settings)):
            return
        slicer, known = Slicer(span.partition, start, self._settings.max_file_bytes), len(self._reader.expired)
        for record in self._reader.read([Span(span.topic, span.partition, start, span.end)], stop):
            known = self._lost(slicer, known)
            row = row_of(record, self._registry)
            self._store(slicer.add(row, keep=keep(row.source_id, record.timestamp_ms)))
        if stop():
            self._count(self._writer.finish())
            return
        self._lost(slicer, known)
        rest = slicer.open_slice
        if whole or is_due(rest.hour, rest.least_ms, self._now_ms(), self._settings):
            self._tails.pop(span.partition, None)
            self._store(slicer.end(span.end))
        else:
            self._tails[span.partition] = Tail(rest.from_offset, span.end, rest.size_bytes, rest.hour, rest.least_ms)
        self._count(self._writer.finish())

    def _start(self, span: Span) -> int:
        """Where the partition goes on. What retention took before it was archived is a gap."""
        found = self._book.next_offset(span.partition)
        if found is None:
            return span.start
        if found > span.end and self._events is None:
            raise ArchiveError(
                f"{span.topic}/{span.partition} ends at offset {span.end}, but {self._book.store.url} has it up to "
                f"{found}: the brokers have lost its end, and new frames would have the offsets of archived ones. "
                "Begin another archive"
            )
        if found < span.start:
            self._retention(span.partition, found, span.start)
        return max(found, span.start)

    def _lost(self, slicer: Slicer, known: int) -> int:
        """What retention took while it was read. Returns how many ranges are known now."""
        for gone in self._reader.expired[known:]:
            self._store(slicer.lost(gone.start, gone.end))
            self._retention(gone.partition, gone.start, gone.end)
        return len(self._reader.expired)

    def _store(self, piece: Slice | None) -> None:
        if piece is not None:
            self._count(self._writer.store(piece, self._now_ms()))

    def _retention(self, partition: int, from_offset: int, to_offset: int) -> None:
        log.warning(
            "retention removed frames before they were archived",
            partition=partition,
            from_offset=from_offset,
            to_offset=to_offset,
        )
        self._count(self._writer.add_gap(Gap(partition, from_offset, to_offset, RETENTION, self._now_ms())))

    def _count(self, counted: list[Stored]) -> None:
        for one in counted:
            if one.gap is not None:
                offsets = one.gap.to_offset - one.gap.from_offset
                self.result.gaps[one.gap.reason] += offsets
                metrics.ARCHIVE_GAPS.labels(one.gap.reason).inc(offsets)
            if one.file is not None:
                self.result.files += 1
                self.result.frames += one.file.frames
                self.result.bytes += one.file.size_bytes
                metrics.ARCHIVED_FRAMES.inc(one.file.frames)
                metrics.ARCHIVED_BYTES.inc(one.file.size_bytes)
                metrics.ARCHIVE_FILES.labels("written").inc()
                log.info("archived", file=one.file.path, frames=one.file.frames, bytes=one.file.size_bytes)

    def _remove_older(self, before_ms: int) -> None:
        removed = self._book.remove_older(before_ms)
        self.result.removed_files += len(removed)
        metrics.ARCHIVE_FILES.labels("removed").inc(len(removed))
