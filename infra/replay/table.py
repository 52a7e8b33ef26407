"""The answers of many frames in little memory: per frame the one that counts, 54 bytes each. Pure.

Of a frame's labels the one with the highest revision counts, of equal ones the first, as in sinks; a label counts more
than a dead letter, because a redriven frame has both.
"""

from collections.abc import Callable
from enum import IntEnum
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from schemas.coordinates import Coordinates
from schemas.records import Decision, Label

# A place is one number: the partition above, the offset in the lower 44 bits.
OFFSET_BITS = 44
MAX_PARTITION, MAX_OFFSET = 2**19, 2**OFFSET_BITS
CHUNK_ROWS = 65_536
# Names of classes and of sources that are kept to be shown; what is compared does not depend on them.
MAX_NAMES = 100_000
MAX_NAME_CHARS = 200
# In place of a class: a label without a prediction, and a dead letter.
NO_PREDICTION, DEAD_LETTER = 0, -1

ROW = np.dtype(
    [
        ("place", np.int64),
        ("frame", np.uint32),  # checksum of the frame's id
        ("source", np.int64),  # hash of source_id
        ("revision", np.int64),
        ("outcome", np.uint8),
        ("promoted", np.bool_),  # among the labels of the frame is one that was promoted from this replay
        ("answer", np.int64),  # hash of the best class, by id and name
        ("probability", np.float32),
        ("partition", np.int32),  # of the label's own record, as `offset`
        ("offset", np.int64),
    ]
)
Rows = NDArray[np.void]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Outcome(IntEnum):
    ACCEPTED = 0
    REVIEW = 1
    DEAD = 2


class Names:
    """The texts behind hashes of classes and sources, at most 100,000 of each. The hashes hold in this process only."""

    def __init__(self) -> None:
        self._classes: dict[int, tuple[str, str]] = {}
        self._sources: dict[int, str] = {}

    def answer(self, label: Label) -> int:
        if not label.predictions:
            return NO_PREDICTION
        best = label.predictions[0]
        known = (best.class_id, best.name)
        number = hash(known)
        if number not in self._classes and len(self._classes) < MAX_NAMES:
            self._classes[number] = (best.class_id[:MAX_NAME_CHARS], best.name[:MAX_NAME_CHARS])
        return number

    def source(self, source_id: str) -> int:
        number = hash(source_id)
        if number not in self._sources and len(self._sources) < MAX_NAMES:
            self._sources[number] = source_id[:MAX_NAME_CHARS]
        return number

    def class_of(self, number: int) -> tuple[str | None, str]:
        """The class id and the name; the id is None of what is no class."""
        if number == DEAD_LETTER:
            return None, "(dead letter)"
        if number == NO_PREDICTION:
            return None, "(no prediction)"
        return self._classes.get(number, (None, f"(class {number & 0xFFFFFFFF:08x})"))

    def source_of(self, number: int) -> str:
        return self._sources.get(number, f"(source {number & 0xFFFFFFFF:08x})")


class LabelTable:
    """Collects the answers of one side. Memory: twice the frames at most, however many labels a frame has.

    `keep` chooses by place which frames are collected; it is given many places at once.
    """

    def __init__(
        self,
        names: Names,
        keep: Callable[[Places], Mask] | None = None,
        replay_id: str | None = None,
        since_ms: int = 0,
    ) -> None:
        """`replay_id`, `since_ms`: the replay whose promoted labels are marked, and when it was started: a replay that
        was deleted can have had its name.
        """
        self._names, self._keep, self._replay_id, self._since_ms = names, keep, replay_id, since_ms
        self._chunk: list[tuple[int | float, ...]] = []
        self._rows: Rows = np.zeros(0, ROW)
        self._parts: list[Rows] = []
        self._waiting = 0

    def label(self, label: Label, frame: Coordinates, at: Coordinates) -> None:
        """`frame`: the place of the frame that is compared; `at`: the place of the label's own record."""
        best = label.predictions[0].probability if label.predictions else float("nan")
        outcome = Outcome.ACCEPTED if label.decision is Decision.ACCEPTED else Outcome.REVIEW
        promoted = label.revision > self._since_ms and label.replay_id == self._replay_id
        answer = label.revision, outcome, promoted, self._names.answer(label), best
        self._add(frame, label.frame_id, label.source_id, answer, at)

    def dead_letter(self, frame: Coordinates, frame_id: str, source_id: str, at: Coordinates) -> None:
        self._add(frame, frame_id, source_id, (0, Outcome.DEAD, False, DEAD_LETTER, float("nan")), at)

    def rows(self) -> Rows:
        """One row a frame, in the order of places and of frames."""
        self._compact()
        return self._rows

    def _add(
        self, frame: Coordinates, frame_id: str, source_id: str, answer: tuple[int | float, ...], at: Coordinates
    ) -> None:
        if not (0 <= frame.partition < MAX_PARTITION and 0 <= frame.offset < MAX_OFFSET):
            return  # no log has got so far: nothing can be compared with it
        known = place_number(frame), crc32(frame_id.encode()), self._names.source(source_id)
        self._chunk.append((*known, *answer, at.partition, at.offset))
        if len(self._chunk) >= CHUNK_ROWS:
            self._take_chunk()
            if self._waiting > max(len(self._rows), 4 * CHUNK_ROWS):
                self._compact()

    def _take_chunk(self) -> None:
        rows = np.array(self._chunk, ROW)
        self._chunk = []
        if self._keep is not None and len(rows):
            rows = rows[self._keep(rows["place"])]
        self._parts.append(rows)
        self._waiting += len(rows)

    def _compact(self) -> None:
        self._take_chunk()
        rows = np.concatenate([self._rows, *self._parts])
        self._parts, self._waiting = [], 0
        # The sort is stable: of equal rows the one that came first stays the first.
        is_dead = rows["outcome"] == Outcome.DEAD
        rows = rows[np.lexsort((-rows["revision"], is_dead, rows["frame"], rows["place"]))]
        is_other = np.ones(len(rows), np.bool_)
        is_other[1:] = (np.diff(rows["place"]) != 0) | (np.diff(rows["frame"].astype(np.int64)) != 0)
        firsts = np.flatnonzero(is_other)
        self._rows = rows[firsts]
        if len(firsts):
            self._rows["promoted"] = np.logical_or.reduceat(rows["promoted"], firsts)


def place_number(place: Coordinates) -> int:
    return place.partition << OFFSET_BITS | place.offset


def place_of(topic: str, number: int) -> Coordinates:
    return Coordinates(topic, int(number) >> OFFSET_BITS, int(number) & (MAX_OFFSET - 1))


def among(places: Places) -> Callable[[Places], Mask]:
    """A choice of these places; `places` must be in ascending order."""

    def keep(asked: Places) -> Mask:
        if not len(places):
            return np.zeros(len(asked), np.bool_)
        found: Mask = places[np.minimum(np.searchsorted(places, asked), len(places) - 1)] == asked
        return found

    return keep


def one_in(count: int, part: int = 0) -> Callable[[Places], Mask]:
    """A choice of one place in `count`, which does not depend on what else there is; the parts 0 to `count` - 1 make
    up all.
    """

    def keep(asked: Places) -> Mask:
        # Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4): neighbours are spread evenly.
        spread = (asked.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
        found: Mask = spread % np.uint64(count) == part
        return found

    return keep


def matched(left: Rows, right: Rows) -> tuple[Rows, Rows, Mask, Mask]:
    """The rows of frames that both have, in the same order, and which rows of each side have no match."""
    both = np.concatenate([left[["place", "frame"]], right[["place", "frame"]]])
    side = np.repeat(np.array([0, 1], np.int8), [len(left), len(right)])
    order = np.lexsort((side, both["frame"], both["place"]))
    sorted_ = both[order]
    is_pair = np.zeros(len(order), np.bool_)
    if len(order):
        is_pair[:-1] = (sorted_["place"][:-1] == sorted_["place"][1:]) & (sorted_["frame"][:-1] == sorted_["frame"][1:])
    firsts = np.flatnonzero(is_pair)
    lefts, rights = order[firsts], order[firsts + 1] - len(left)
    left_alone, right_alone = np.ones(len(left), np.bool_), np.ones(len(right), np.bool_)
    left_alone[lefts], right_alone[rights] = False, False
    return left[lefts], right[rights], left_alone, right_alone
