"""Double-entry book of frames and their outcomes, by source coordinates. Pure; five bytes an offset."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infra.spans import Key, Span
from schemas.records import SourceRef

MAX_MISSING_SHOWN = 100
# Holes nearer to each other than this are read in one go: a fetch brings that many records anyway.
MERGE_OFFSETS = 32
_FULL = 255

Counts = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Balance:
    """What became of the frames of a range. `missing` is cut at 100, `missing_count` is whole."""

    frames: int
    labels: int
    dead: int
    duplicates: int
    missing: list[SourceRef]
    missing_count: int

    @property
    def ok(self) -> bool:
        """Every frame has its outcome. Surplus outcomes do not spoil it: delivery is at least once."""
        return self.missing_count == 0


@dataclass(slots=True)
class _Page:
    """The book of one partition: how often each offset was labelled, died, was sent through again; 255 means more."""

    span: Span
    labels: Counts = field(init=False)
    dead: Counts = field(init=False)
    redriven: Counts = field(init=False)
    # Offsets that hold no frame: transaction markers, compacted or expired records.
    empty: NDArray[np.bool_] = field(init=False)
    # Offsets without an outcome that were read and do hold a frame.
    seen: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        size = len(self.span)
        self.labels, self.dead, self.redriven = (np.zeros(size, np.uint8) for _ in range(3))
        self.empty, self.seen = (np.zeros(size, np.bool_) for _ in range(2))

    def open(self) -> NDArray[np.bool_]:
        """Offsets without any outcome that are not known to be empty."""
        found: NDArray[np.bool_] = (self.labels == 0) & (self.dead == 0) & ~self.empty
        return found


class Ledger:
    """Knows every offset of the given spans; outcomes that refer to anything else are not its business.

    An offset with an outcome held a frame, so only the others need to be looked up: `unverified()` says which,
    `saw` and `searched` take the answer. `balance()` is right once nothing is unverified.
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        self._pages = {span.key: _Page(span) for span in spans if len(span)}

    def label(self, source: SourceRef) -> bool:
        """Whether it is the first label of a frame of the range."""
        return self._count(source, "labels") == 1

    def dead_letter(self, source: SourceRef) -> None:
        self._count(source, "dead")

    def redriven(self, source: SourceRef) -> None:
        """The frame was sent through again on purpose: one outcome more is none too many."""
        self._count(source, "redriven")

    def unverified(self) -> list[Span]:
        """Offsets without an outcome of which nobody has looked yet whether they hold a frame, as ranges to read."""
        return [
            Span(*key, page.span.start + first, page.span.start + last)
            for key, page in self._pages.items()
            for first, last in _runs(page.open() & ~page.seen)
        ]

    def saw(self, key: Key, offset: int) -> None:
        """There is a frame at this offset."""
        page = self._pages[key]
        page.seen[offset - page.span.start] = True

    def searched(self, span: Span) -> None:
        """Every offset of the span was looked for: what was not seen is no frame."""
        page = self._pages[span.key]
        part = slice(span.start - page.span.start, span.end - page.span.start)
        page.empty[part] |= page.open()[part] & ~page.seen[part]

    def open_count(self) -> int:
        """How many offsets have no outcome yet, as far as they are not known to be empty."""
        return sum(int(page.open().sum()) for page in self._pages.values())

    def balance(self) -> Balance:
        pages = self._pages.values()
        labelled = sum(int((page.labels > 0).sum()) for page in pages)
        dead = sum(int(((page.dead > 0) & (page.labels == 0)).sum()) for page in pages)
        missing_count = self.open_count()
        return Balance(
            frames=labelled + dead + missing_count,
            labels=labelled,
            dead=dead,
            duplicates=sum(_surplus(page) for page in pages),
            missing=self._missing(),
            missing_count=missing_count,
        )

    def _missing(self) -> list[SourceRef]:
        found: list[SourceRef] = []
        for (topic, partition), page in sorted(self._pages.items()):
            offsets = np.flatnonzero(page.open())[: MAX_MISSING_SHOWN - len(found)]
            found += [SourceRef(topic, partition, page.span.start + int(offset)) for offset in offsets]
        return found

    def _count(self, source: SourceRef, column: str) -> int:
        """How often it has been counted now; 0 for what is outside."""
        page = self._pages.get((source.topic, source.partition))
        if page is None or not page.span.start <= source.offset < page.span.end:
            return 0
        index = source.offset - page.span.start
        counts: Counts = getattr(page, column)
        if counts[index] < _FULL:
            counts[index] += 1
        # An outcome proves the frame, also where retention had taken it by the time of the search.
        page.empty[index] = False
        return int(counts[index])


def _surplus(page: _Page) -> int:
    """Outcomes beyond the one that each frame should have, and one more for each time that it was redriven."""
    outcomes = page.labels.astype(np.int32) + page.dead - page.redriven
    return int(np.maximum(outcomes - 1, 0).sum())


def _runs(wanted: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The runs of True as (first, behind the last); runs nearer than MERGE_OFFSETS are one."""
    indexes = np.flatnonzero(wanted)
    if not len(indexes):
        return []
    cuts = np.flatnonzero(np.diff(indexes) > MERGE_OFFSETS)
    firsts = [int(indexes[0]), *(int(indexes[cut + 1]) for cut in cuts)]
    lasts = [*(int(indexes[cut]) for cut in cuts), int(indexes[-1])]
    return [(first, last + 1) for first, last in zip(firsts, lasts, strict=True)]
