"""Cuts the records of a partition into slices, each of which becomes a file. Pure.

Records are not in the order of their times, so a slice goes by offsets: it ends before the record that reaches a later
hour than all before it, or that would make it too large. Each slice begins where the one before ended.
"""

from dataclasses import dataclass, field

from ingest.archive.layout import HOUR_MS
from ingest.archive.manifest import MAX_HOLES
from ingest.archive.rows import Row


@dataclass(slots=True)
class Slice:
    """Offsets `from_offset` to `to_offset` (exclusive) with the records in them. `kept`: those that are archived.

    `hour` is the latest of all its records, since 1970, and `least_ms` the earliest time; -1 without a record.
    """

    partition: int
    from_offset: int
    to_offset: int = -1
    hour: int = -1
    least_ms: int = -1
    size_bytes: int = 0
    kept: list[Row] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)


class Slicer:
    """One range of one partition. Every record of it is given to `add` in order; `end` gives the last slice."""

    def __init__(self, partition: int, from_offset: int, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._next = from_offset
        self._open = Slice(partition, from_offset)

    @property
    def open_slice(self) -> Slice:
        return self._open

    def add(self, row: Row, *, keep: bool = True) -> Slice | None:
        """Returns the slice that ends before this record, if it ends one."""
        # A record without a time has -1: it counts for the first hour, and not as none.
        hour, offset = max(0, row.record.timestamp_ms // HOUR_MS), row.record.offset
        size_bytes = row.size_bytes if keep else 0
        ended = None
        is_full = self._open.size_bytes and self._open.size_bytes + size_bytes > self._max_bytes
        if self._open.hour >= 0 and (hour > self._open.hour or is_full):
            ended = self._end_at(offset)
            # The offsets without a record before this one belong to the slice that ends.
            _add_hole(ended.holes, self._next, offset)
        else:
            _add_hole(self._open.holes, self._next, offset)
        self._open.least_ms = (
            min(row.record.timestamp_ms, self._open.least_ms) if self._open.hour >= 0 else row.record.timestamp_ms
        )
        self._open.hour = max(self._open.hour, hour)
        self._open.size_bytes += size_bytes
        if keep:
            self._open.kept.append(row)
        self._next = offset + 1
        return ended

    def lost(self, start: int, end: int) -> Slice | None:
        """Offsets that retention removed: they are in no slice. Returns the slice that ends before them."""
        ended = self._end_at(start) if self._open.hour >= 0 or start > self._open.from_offset else None
        if ended is not None:
            _add_hole(ended.holes, self._next, start)
        self._open = Slice(self._open.partition, end)
        self._next = end
        return ended

    def end(self, end: int) -> Slice | None:
        """The last slice, up to the end of the range; None when nothing is left of the range."""
        if end <= self._open.from_offset:
            return None
        _add_hole(self._open.holes, self._next, end)
        return self._end_at(end)

    def _end_at(self, offset: int) -> Slice:
        ended, self._open = self._open, Slice(self._open.partition, offset)
        ended.to_offset = offset
        return ended


def _add_hole(holes: list[tuple[int, int]], start: int, end: int) -> None:
    """Of more than `MAX_HOLES` the last one reaches over all that follow."""
    if start >= end:
        return
    if len(holes) < MAX_HOLES:
        holes.append((start, end))
    else:
        holes[-1] = (holes[-1][0], end)
