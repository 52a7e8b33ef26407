"""Lag in seconds from questions about offsets alone: no record is read, and Describe rights are enough. Pure.

ListOffsets answers a timestamp with the first offset whose record has that timestamp or a later one, and with the
record's timestamp. So the timestamp of the record at the committed offset is found by halving a bracket of timestamps
until the answer is that offset: about 16 questions for a day, one call a round for all partitions together.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from schemas.coordinates import TopicPartition

# A day and a little, which is what `frames.raw` keeps. Older records cost a second search below it.
FIRST_BRACKET_MS = 26 * 3_600_000
# Clocks of producers may be ahead of ours by that much.
AHEAD_MS = 300_000
# The bracket of a day (27 questions), of all the time before it (41), and of the time after it.
MAX_ROUNDS = 80


class LagTimeKind(StrEnum):
    """How well the time is known.

    `bound`: a record before it has the same timestamp or a later one, so the record may have waited longer.
    `interpolated`: between what was seen of the log's end at two looks.
    """

    EXACT = "exact"
    BOUND = "bound"
    INTERPOLATED = "interpolated"
    NONE = "none"


class Answer(NamedTuple):
    """The broker's answer to a timestamp: the first record with that timestamp or a later one."""

    offset: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Bracket:
    """The search for the timestamp of the record at `offset`, which lies in [low_ms, high_ms].

    `is_low_known`: the answer for `low_ms` was a record before the offset. `is_high_known`: that for `high_ms + 1` was
    a later record, or none. An end that is not known is a guess; when the search closes upon it, it goes on beyond.
    `found_ms`: the timestamp, when `kind` says that the search is over.
    """

    offset: int
    low_ms: int
    high_ms: int
    limit_ms: int
    is_low_known: bool = False
    is_high_known: bool = False
    rounds: int = 0
    found_ms: int | None = None
    kind: LagTimeKind = LagTimeKind.NONE

    @property
    def question_ms(self) -> int | None:
        """The timestamp to ask for next, or None when the search is over."""
        if self.kind is not LagTimeKind.NONE or self.rounds >= MAX_ROUNDS:
            return None
        return (self.low_ms + self.high_ms + 1) // 2

    def answered(self, answer: Answer | None, asked_ms: int | None = None) -> "Bracket":
        """The bracket after the answer to its question, or to that of another search on the same partition.

        `answer` is None where no record is that young.
        """
        asked_ms = self.question_ms if asked_ms is None else asked_ms
        if asked_ms is None or self.question_ms is None:
            return self
        rounds = self.rounds + (asked_ms == self.question_ms)
        if answer is not None and answer.offset == self.offset:
            return replace(self, rounds=rounds, found_ms=answer.timestamp_ms, kind=LagTimeKind.EXACT)
        if answer is not None and answer.offset < self.offset:
            low_ms = max(asked_ms, answer.timestamp_ms)
            if low_ms < self.low_ms:
                return replace(self, rounds=rounds)
            return replace(self, rounds=rounds, low_ms=low_ms, is_low_known=True)._closed()
        # No record up to the offset is that young, whatever the order of timestamps.
        if asked_ms > self.high_ms:
            return replace(self, rounds=rounds, is_high_known=self.is_high_known or asked_ms == self.high_ms + 1)
        return replace(self, rounds=rounds, high_ms=asked_ms - 1, is_high_known=True)._closed()

    def _closed(self) -> "Bracket":
        if self.low_ms < self.high_ms:
            return self
        if not self.is_high_known and self.high_ms < self.limit_ms:
            return replace(self, high_ms=self.limit_ms)
        if not self.is_low_known and self.low_ms > 0:
            return replace(self, low_ms=0)
        # The upper end holds in any order of timestamps: the record is that old at least.
        return replace(self, found_ms=self.high_ms, kind=LagTimeKind.BOUND)


def first_bracket(offset: int, now_ms: int, last: Bracket | None = None, elapsed_ms: int = 0) -> Bracket:
    """Where the search begins: after the last one's end, if that was about an earlier offset, else a day back.

    `elapsed_ms`: the time since the last search. A group that keeps up has come forward by about that much.
    """
    limit_ms = now_ms + AHEAD_MS
    if last is None or last.found_ms is None or last.offset > offset:
        return Bracket(offset, max(0, now_ms - FIRST_BRACKET_MS), limit_ms, limit_ms)
    if last.offset == offset:
        return replace(last, rounds=0)
    return Bracket(offset, last.found_ms, min(limit_ms, last.found_ms + 4 * max(elapsed_ms, 1000)), limit_ms)


class Unread(NamedTuple):
    """The oldest unread record: a group's offset on a partition."""

    partition: TopicPartition
    offset: int


@dataclass(frozen=True, slots=True)
class Age:
    """For how long the record waits, in seconds."""

    lag_s: float | None
    kind: LagTimeKind


class EndPoint(NamedTuple):
    """The log's end offset at a moment, in any unit of time."""

    offset: int
    at: float


class EndHistory:
    """When the log's end was at an offset, between the looks at it: the rule of kafka-lag-exporter's LookupTable.

    The fall-back where a broker answers no timestamps. Keeps `size` looks.
    """

    def __init__(self, size: int = 60) -> None:
        self._size = size
        self.points: list[EndPoint] = []

    def add(self, offset: int, at: float) -> bool:
        """Keep a look; False for one that is not newer than the last, or whose end is before that one's."""
        points = self.points
        if points and (at <= points[-1].at or offset < points[-1].offset):
            return False
        # Of a log that stands still, the first and the last moment are enough.
        if len(points) > 1 and points[-1].offset == points[-2].offset == offset:
            points.pop()
        points.append(EndPoint(offset, at))
        del points[: max(0, len(points) - self._size)]
        return True

    def at(self, offset: int) -> float | None:
        """The moment when `offset` was the end; None with fewer than two looks.

        Outside what was seen, the trend from the first look to the last goes on; +-infinity where that is flat.
        An offset that is the newest end gives the newest moment: nothing waits.
        """
        points = self.points
        if points and offset == points[-1].offset:
            return points[-1].at
        if len(points) < 2:
            return None
        left, right = points[0], points[-1]
        for earlier, later in zip(reversed(points[:-1]), reversed(points[1:]), strict=True):
            if earlier.offset <= offset <= later.offset and earlier.offset != later.offset:
                left, right = earlier, later
                break
        if left.offset == right.offset:
            return float("inf") if offset > right.offset else float("-inf")
        return right.at - (right.offset - offset) * (right.at - left.at) / (right.offset - left.offset)
