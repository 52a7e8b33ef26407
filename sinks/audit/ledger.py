"""Double-entry book of frames and their outcomes, by source coordinates. Pure; four bytes an offset."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from infra.kafka.spans import Period, Span
from schemas.coordinates import Coordinates, TopicPartition
from sinks.audit.expired import Expired

MAX_MISSING_SHOWN = 100
# Holes nearer to each other than this are read in one go: a fetch brings that many records anyway.
MERGE_OFFSETS = 32
_FULL = 255

Counts = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Balance:
    """What became of the frames of a range. `missing` is cut at 100, `missing_count` is whole.

    `expired`: how many more retention removed without an outcome. Not `complete`: outcomes were left unread.
    """

    frames: int
    labels: int
    dead: int
    duplicates: int
    missing: list[Coordinates]
    missing_count: int
    expired: int = 0
    complete: bool = True

    @property
    def ok(self) -> bool:
        """Every frame has its outcome. Surplus outcomes do not spoil it: delivery is at least once."""
        return self.complete and self.missing_count == 0 and self.expired == 0


class _What(IntEnum):
    """What an offset holds: a frame of the period, one of another time, none (a marker, compacted), or who knows."""

    UNKNOWN = 0
    FRAME = 1
    OTHER_TIME = 2
    NO_FRAME = 3
    EXPIRED = 4


@dataclass(slots=True)
class _Page:
    """The book of one partition: how often each offset was labelled, died, was sent through again; 255 means more."""

    span: Span
    labels: Counts = field(init=False)
    dead: Counts = field(init=False)
    redriven: Counts = field(init=False)
    what: Counts = field(init=False)

    def __post_init__(self) -> None:
        size = len(self.span)
        self.labels, self.dead, self.redriven, self.what = (np.zeros(size, np.uint8) for _ in range(4))

    def grow(self, end: int) -> None:
        """Up to that offset; what is entered stays."""
        if end <= self.span.end:
            return
        more = np.zeros(end - self.span.end, np.uint8)
        self.span = replace(self.span, end=end)
        for column in ("labels", "dead", "redriven", "what"):
            setattr(self, column, np.concatenate([getattr(self, column), more]))

    def open(self) -> NDArray[np.bool_]:
        """Offsets without any outcome that may hold a frame of the period."""
        found: NDArray[np.bool_] = (self.labels == 0) & (self.dead == 0) & (self.what <= _What.FRAME)
        return found

    def ours(self) -> NDArray[np.bool_]:
        """Offsets whose outcomes count."""
        found: NDArray[np.bool_] = self.what != _What.OTHER_TIME
        return found


class Ledger:
    """Knows the frames of a period within the given spans; outcomes that refer to anything else are not its business.

    An outcome proves its frame, and mostly tells its time too, so only the other offsets need to be looked up:
    `unverified()` says which, `saw` and `searched` take the answer. `balance()` is right once nothing is unverified.
    """

    def __init__(
        self,
        spans: Iterable[Span],
        period: Period | None = None,
        expired: Mapping[TopicPartition, Expired] | None = None,
    ) -> None:
        """`expired`: what lay before the spans and was removed by retention, per partition."""
        self._pages = {span.topic_partition: _Page(span) for span in spans if len(span)}
        self._expired = dict(expired or {})
        self._period = period or Period()

    def grow(self, spans: Iterable[Span]) -> None:
        """More frames behind those that are known, and partitions that are new."""
        for span in spans:
            if (page := self._pages.get(span.topic_partition)) is not None:
                page.grow(span.end)
            elif len(span):
                self._pages[span.topic_partition] = _Page(span)

    def label(self, source: Coordinates, frame_ms: int | None = None) -> bool:
        """Whether it is the first label of a frame of the range. `frame_ms`: the frame's timestamp, if it is told."""
        return self._outcome(source, "labels", frame_ms) == 1

    def dead_letter(self, source: Coordinates, frame_ms: int | None = None) -> None:
        self._outcome(source, "dead", frame_ms)

    def redriven(self, source: Coordinates) -> None:
        """The frame was sent through again on purpose: one outcome more is none too many."""
        self._count(source, "redriven")

    def unverified(self) -> list[Span]:
        """Offsets of which neither an outcome nor a look has told yet what they hold, as ranges to read."""
        return [
            Span(*key, page.span.start + first, page.span.start + last)
            for key, page in self._pages.items()
            for first, last in _runs(page.what == _What.UNKNOWN)
        ]

    def saw(self, key: TopicPartition, offset: int, frame_ms: int) -> None:
        """There is a frame at this offset; its own timestamp is the last word on its time."""
        page = self._pages[key]
        page.what[offset - page.span.start] = self._what(frame_ms)

    def searched(self, span: Span) -> None:
        """Every offset of the span was looked for: what was not seen and has no outcome is no frame."""
        page = self._pages[span.topic_partition]
        part = slice(span.start - page.span.start, span.end - page.span.start)
        unseen, proved = page.what[part] == _What.UNKNOWN, (page.labels[part] > 0) | (page.dead[part] > 0)
        page.what[part][unseen] = np.where(proved[unseen], _What.FRAME, _What.NO_FRAME)

    def removed(self, span: Span) -> None:
        """Retention took the span before the search reached it: what has no outcome may have been a frame."""
        page = self._pages[span.topic_partition]
        part = page.what[span.start - page.span.start : span.end - page.span.start]
        part[part == _What.NO_FRAME] = _What.EXPIRED

    def lowest_open(self) -> dict[TopicPartition, int]:
        """The first offset without an outcome of each partition that has one, removed ones included."""
        offsets = {key: np.flatnonzero(page.open()) + page.span.start for key, page in self._pages.items()}
        removed = {key: expired.lowest_open() for key, expired in self._expired.items()}
        return {key: int(found[0]) for key, found in offsets.items() if len(found)} | {
            key: offset for key, offset in removed.items() if offset is not None
        }

    def expired_counts(self) -> tuple[int, int]:
        """How many offsets retention removed without an outcome: those that held frames, and those that may not have.

        Where the log has offsets without a frame (markers of transactions), a run no longer than those may be such.
        """
        frames = doubtful = 0
        for key in self._pages.keys() | self._expired.keys():
            lengths = [self._expired[key].gaps()[1]] if key in self._expired else []
            longest_hole = 0
            if (page := self._pages.get(key)) is not None:
                lengths.append(_lengths(page.what == _What.EXPIRED))
                longest_hole = int(_lengths(page.what == _What.NO_FRAME).max(initial=0))
            for runs in lengths:
                frames += int(runs[runs > longest_hole].sum())
                doubtful += int(runs[runs <= longest_hole].sum())
        return frames, doubtful

    def open_count(self) -> int:
        """How many offsets have no outcome yet, as far as they may hold a frame of the period."""
        return sum(int(page.open().sum()) for page in self._pages.values())

    def balance(self) -> Balance:
        pages = self._pages.values()
        labelled = sum(int(((page.labels > 0) & page.ours()).sum()) for page in pages)
        dead = sum(int(((page.dead > 0) & (page.labels == 0) & page.ours()).sum()) for page in pages)
        missing_count = self.open_count()
        return Balance(
            frames=labelled + dead + missing_count,
            labels=labelled,
            dead=dead,
            duplicates=sum(_surplus(page) for page in pages),
            missing=self._missing(),
            missing_count=missing_count,
            expired=self.expired_counts()[0],
        )

    def _missing(self) -> list[Coordinates]:
        found: list[Coordinates] = []
        for (topic, partition), page in sorted(self._pages.items()):
            offsets = np.flatnonzero(page.open())[: MAX_MISSING_SHOWN - len(found)]
            found += [Coordinates(topic, partition, page.span.start + int(offset)) for offset in offsets]
        return found

    def _outcome(self, source: Coordinates, column: str, frame_ms: int | None) -> int:
        """How often it has been counted now; 0 for what is outside the spans or the period."""
        if (expired := self._expired.get(source.topic_partition)) is not None:
            expired.outcome(source.offset, frame_ms)
        count = self._count(source, column)
        if not count:
            return 0
        page = self._pages[source.topic_partition]
        index = source.offset - page.span.start
        # An outcome proves the frame, also where retention had taken it by the time of the search.
        if page.what[index] in (_What.UNKNOWN, _What.NO_FRAME, _What.EXPIRED):
            page.what[index] = self._what(frame_ms)
        return 0 if page.what[index] == _What.OTHER_TIME else count

    def _what(self, frame_ms: int | None) -> _What:
        if self._period.endless:
            return _What.FRAME
        if frame_ms is None:
            return _What.UNKNOWN
        return _What.FRAME if self._period.holds(frame_ms) else _What.OTHER_TIME

    def _count(self, source: Coordinates, column: str) -> int:
        """How often it has been counted now; 0 for what is outside the spans."""
        page = self._pages.get(source.topic_partition)
        if page is None or not page.span.start <= source.offset < page.span.end:
            return 0
        index = source.offset - page.span.start
        counts: Counts = getattr(page, column)
        if counts[index] < _FULL:
            counts[index] += 1
        return int(counts[index])


def _surplus(page: _Page) -> int:
    """Outcomes beyond the one that each frame should have, and one more for each time that it was redriven."""
    outcomes = page.labels.astype(np.int32) + page.dead - page.redriven
    return int(np.maximum(outcomes - 1, 0)[page.ours()].sum())


def _lengths(wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How long each run of True is."""
    edges = np.flatnonzero(np.diff(wanted, prepend=False, append=False))
    return edges[1::2] - edges[0::2]


def _runs(wanted: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The runs of True as (first, behind the last); runs nearer than MERGE_OFFSETS are one."""
    indexes = np.flatnonzero(wanted)
    if not len(indexes):
        return []
    cuts = np.flatnonzero(np.diff(indexes) > MERGE_OFFSETS)
    firsts = [int(indexes[0]), *(int(indexes[cut + 1]) for cut in cuts)]
    lasts = [*(int(indexes[cut]) for cut in cuts), int(indexes[-1])]
    return [(first, last + 1) for first, last in zip(firsts, lasts, strict=True)]
