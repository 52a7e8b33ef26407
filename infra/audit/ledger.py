"""Which frames have which outcomes, counted by coordinates and id of the frames. Pure; fourteen bytes an offset."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from infra.audit.balance import MAX_MISSING_SHOWN, Balance
from infra.audit.expired import ExpiredOffsets
from infra.audit.partition_book import FULL, Counts, OffsetState, PartitionBook
from infra.audit.runs import edges, runs_of
from infra.kafka.spans import Period, Span
from schemas.coordinates import Coordinates, TopicPartition

_NONE = np.zeros(0, np.int64)


class Ledger:
    """Counts the outcomes of the frames of `period` within `spans`. Outcomes of other frames are ignored.

    An outcome proves that its frame exists, and most outcomes name its time. The other offsets have to be looked up:
    `unverified()` lists them; `frame_found` and `searched` take the answer. `balance()` is right once `unverified()` is
    empty.
    """

    def __init__(
        self,
        spans: Iterable[Span],
        period: Period | None = None,
        expired: Mapping[TopicPartition, ExpiredOffsets] | None = None,
    ) -> None:
        """`expired`: per partition, the offsets before the span that retention removed."""
        self._books = {span.topic_partition: PartitionBook(span) for span in spans if len(span)}
        self._expired = dict(expired or {})
        self._period = period or Period()

    def grow(self, spans: Iterable[Span]) -> None:
        """Extend the spans of known partitions to new ends, and add new partitions."""
        for span in spans:
            if (book := self._books.get(span.topic_partition)) is not None:
                book.grow(span.end)
            elif len(span):
                self._books[span.topic_partition] = PartitionBook(span)

    def label(self, source: Coordinates, frame_ms: int | None = None, frame_id: str = "", written_ms: int = 0) -> bool:
        """Count a label. True when it is the first one of a frame of the range.

        `frame_ms`: the timestamp of the frame, if the outcome names it. `frame_id`: its id, if that is known: of
        outcomes of several frames at the same coordinates those of the one count that were written last.
        """
        return self._outcome(source, "labels", frame_ms, frame_id, written_ms) == 1

    def dead_letter(
        self, source: Coordinates, frame_ms: int | None = None, frame_id: str = "", written_ms: int = 0
    ) -> None:
        self._outcome(source, "dead", frame_ms, frame_id, written_ms)

    def correction(self, source: Coordinates, frame_id: str) -> None:
        """Count a label that was promoted from a replay: no outcome, and no duplicate of one.

        One that names another frame than the outcomes before it is of an earlier topic of this name.
        """
        book = self._books.get(source.topic_partition)
        if book is None or not book.span.start <= source.offset < book.span.end:
            return
        if book.ids.is_same(source.offset - book.span.start, frame_id):
            self._count(source, "corrections")

    def redriven(self, source: Coordinates) -> None:
        """The frame was redriven, so one more outcome of it is not a duplicate."""
        self._count(source, "redriven")

    def unverified(self) -> list[Span]:
        """The ranges to read: offsets that have no outcome and were not looked up yet."""
        return [
            Span(*key, book.span.start + first, book.span.start + last)
            for key, book in self._books.items()
            for first, last in runs_of(book.state == OffsetState.UNKNOWN)
        ]

    def frame_found(self, key: TopicPartition, offset: int, frame_ms: int) -> None:
        """The look-up found a frame at this offset. Its own timestamp overrides the time that an outcome named."""
        book = self._books[key]
        book.state[offset - book.span.start] = self._state_of(frame_ms)

    def suspects(self) -> list[Coordinates]:
        """The frames that have to be fetched because their outcomes may be of another topic; each is told once."""
        return [
            Coordinates(*key, book.span.start + index)
            for key, book in self._books.items()
            for index in book.ids.suspects((book.labels > 0) | (book.dead > 0))
        ]

    def ahead(self, key: TopicPartition, first: int, count: int) -> list[int]:
        """Of the next `count` offsets from `first` on those that were not fetched, as far as the range reaches."""
        book = self._books[key]
        offsets = range(first, min(first + count, book.span.end))
        return [offset for offset in offsets if not book.ids.was_fetched(offset - book.span.start)]

    def fetched(self, place: Coordinates, frame_id: str, frame_ms: int) -> bool:
        """The frame at this place was fetched. False when what was counted were outcomes of another: it has none."""
        book = self._books.get(place.topic_partition)
        if book is None or not book.span.start <= place.offset < book.span.end:
            return True
        index = place.offset - book.span.start
        if not book.ids.is_of_another(index, frame_id):
            return True
        book.forget(index, self._state_of(frame_ms))
        return False

    def searched(self, span: Span) -> None:
        """The look-up of this span has ended: an offset that was not found and has no outcome holds no frame."""
        book = self._books[span.topic_partition]
        part = slice(span.start - book.span.start, span.end - book.span.start)
        unseen, proved = book.state[part] == OffsetState.UNKNOWN, (book.labels[part] > 0) | (book.dead[part] > 0)
        book.state[part][unseen] = np.where(proved[unseen], OffsetState.FRAME, OffsetState.NO_FRAME)

    def retention_removed(self, span: Span) -> None:
        """Retention removed the span before the look-up: an offset in it without an outcome may have held a frame."""
        book = self._books[span.topic_partition]
        part = book.state[span.start - book.span.start : span.end - book.span.start]
        part[part == OffsetState.NO_FRAME] = OffsetState.EXPIRED

    def is_missing(self, source: Coordinates) -> bool:
        """Whether a frame of the period may lie there that has no outcome and is not under way."""
        book = self._books.get(source.topic_partition)
        if book is None or not book.span.start <= source.offset < book.span.end:
            return False
        index = source.offset - book.span.start
        return not book.labels[index] and not book.dead[index] and book.state[index] <= OffsetState.FRAME

    def missing_ranges(self) -> list[Span]:
        """The ranges to read for every frame that `is_missing`; between two of them may lie others."""
        return [
            Span(*key, book.span.start + first, book.span.start + end)
            for key, book in sorted(self._books.items())
            for first, end in runs_of(book.without_outcome())
        ]

    def under_way(self, source: Coordinates) -> None:
        """A stage still has this frame: it has no outcome yet, and is not missing."""
        if self.is_missing(source):
            book = self._books[source.topic_partition]
            book.state[source.offset - book.span.start] = OffsetState.UNDER_WAY

    def under_way_from(self, key: TopicPartition, offset: int) -> None:
        """As `under_way`, of every frame of the partition from this offset on."""
        if (book := self._books.get(key)) is not None:
            first = max(0, offset - book.span.start)
            book.state[first:][book.without_outcome()[first:]] = OffsetState.UNDER_WAY

    def under_way_count(self) -> int:
        return sum(int((book.state == OffsetState.UNDER_WAY).sum()) for book in self._books.values())

    def lowest_open(self) -> dict[TopicPartition, int]:
        """Per partition, the first offset without an outcome, if any; offsets that retention removed count too."""
        offsets = {key: np.flatnonzero(book.without_outcome()) + book.span.start for key, book in self._books.items()}
        removed = {key: expired.lowest_open() for key, expired in self._expired.items()}
        return {key: int(found[0]) for key, found in offsets.items() if len(found)} | {
            key: offset for key, offset in removed.items() if offset is not None
        }

    def expired_counts(self) -> tuple[int, int]:
        """Two numbers of offsets that retention removed without an outcome: those of frames, and the doubtful ones.

        A log can have offsets without a frame (transaction markers). A removed run is doubtful when it is no longer
        than the longest run of such offsets in the rest of the log.
        """
        frames = doubtful = 0
        for key in self._books.keys() | self._expired.keys():
            _, lengths, longest_hole = self._expired_runs(key)
            frames += int(lengths[lengths > longest_hole].sum())
            doubtful += int(lengths[lengths <= longest_hole].sum())
        return frames, doubtful

    def expired_ranges(self, limit: int) -> list[Span]:
        """The first `limit` ranges of the frames that `expired_counts` counts."""
        found: list[Span] = []
        for key in sorted(self._books.keys() | self._expired.keys()):
            firsts, lengths, longest_hole = self._expired_runs(key)
            ours = np.flatnonzero(lengths > longest_hole)[: limit - len(found)]
            found += [Span(*key, int(firsts[one]), int(firsts[one] + lengths[one])) for one in ours]
        return found

    def _expired_runs(self, key: TopicPartition) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """The first offsets and the lengths of the removed runs, and how long a run without a frame can be."""
        firsts, lengths = self._expired[key].gaps() if key in self._expired else (_NONE, _NONE)
        if (book := self._books.get(key)) is None:
            return firsts, lengths, 0
        starts, more = edges(book.state == OffsetState.EXPIRED)
        longest_hole = int(edges(book.state == OffsetState.NO_FRAME)[1].max(initial=0))
        return np.append(firsts, starts + book.span.start), np.append(lengths, more), longest_hole

    def open_count(self) -> int:
        """How many offsets may hold a frame of the period and have no outcome."""
        return sum(int(book.without_outcome().sum()) for book in self._books.values())

    def balance(self) -> Balance:
        books = self._books.values()
        labelled = sum(int(((book.labels > 0) & book.in_period()).sum()) for book in books)
        dead = sum(int(((book.dead > 0) & (book.labels == 0) & book.in_period()).sum()) for book in books)
        missing_count = self.open_count()
        return Balance(
            frames=labelled + dead + missing_count,
            labels=labelled,
            dead=dead,
            duplicates=sum(book.surplus() for book in books),
            missing=self._missing(),
            missing_count=missing_count,
            expired=self.expired_counts()[0],
            corrections=sum(book.corrected() for book in books),
        )

    def _missing(self) -> list[Coordinates]:
        found: list[Coordinates] = []
        for (topic, partition), book in sorted(self._books.items()):
            offsets = np.flatnonzero(book.without_outcome())[: MAX_MISSING_SHOWN - len(found)]
            found += [Coordinates(topic, partition, book.span.start + int(offset)) for offset in offsets]
        return found

    def _outcome(self, source: Coordinates, column: str, frame_ms: int | None, frame_id: str, written_ms: int) -> int:
        """The count of this offset after this outcome; 0 outside the spans or the period, or of another frame."""
        if (expired := self._expired.get(source.topic_partition)) is not None:
            expired.outcome(source.offset, frame_ms)
        book = self._books.get(source.topic_partition)
        if book is None or not book.span.start <= source.offset < book.span.end:
            return 0
        index = source.offset - book.span.start
        is_taken = book.ids.take(index, frame_id, written_ms // 1000)
        if is_taken is False:
            return 0
        if is_taken is None:
            book.forget(index, OffsetState.UNKNOWN)
        count = self._count(source, column)
        # An outcome proves that the frame existed, even if the look-up found nothing because retention had removed it.
        if book.state[index] not in (OffsetState.FRAME, OffsetState.OTHER_TIME):
            book.state[index] = self._state_of(frame_ms)
        return 0 if book.state[index] == OffsetState.OTHER_TIME else count

    def _state_of(self, frame_ms: int | None) -> OffsetState:
        if self._period.endless:
            return OffsetState.FRAME
        if frame_ms is None:
            return OffsetState.UNKNOWN
        return OffsetState.FRAME if self._period.holds(frame_ms) else OffsetState.OTHER_TIME

    def _count(self, source: Coordinates, column: str) -> int:
        """The count of this offset after one more; 0 outside the spans."""
        book = self._books.get(source.topic_partition)
        if book is None or not book.span.start <= source.offset < book.span.end:
            return 0
        index = source.offset - book.span.start
        counts: Counts = getattr(book, column)
        if counts[index] < FULL:
            counts[index] += 1
        return int(counts[index])
