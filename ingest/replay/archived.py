"""An archive and the topic as one range, switched by offset. Pure.

Times are no switch: they are not in the order of offsets, so a frame near the switch would be lost or doubled.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from infra.kafka.spans import Period, Span
from ingest.replay.ranges import unarchived
from schemas.records import Micros
from schemas.replays import ReplayGap


class ArchivedSpan(Protocol):
    """`ingest.archive.reading.ArchivedSpan`: a file's unbroken offsets, and the least and greatest time in it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def from_offset(self) -> int: ...
    @property
    def to_offset(self) -> int: ...
    @property
    def least_ms(self) -> int: ...
    @property
    def greatest_ms(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def payload_bytes(self) -> int: ...


def covered(files: Iterable[ArchivedSpan]) -> list[Span]:
    """The offsets that the files hold; files that follow each other are one range."""
    found: list[Span] = []
    for file in sorted(files, key=lambda one: (one.partition, one.from_offset)):
        last = found[-1] if found else None
        if last is not None and last.partition == file.partition and last.end >= file.from_offset:
            found[-1] = replace(last, end=max(last.end, file.to_offset))
        else:
            found.append(Span(file.topic, file.partition, file.from_offset, file.to_offset))
    return found


def may_hold(file: ArchivedSpan, period: Period) -> bool:
    """Whether a record of the period can be in the file."""
    is_late = period.from_us is not None and file.greatest_ms * 1000 < period.from_us
    return not is_late and not (period.to_us is not None and file.least_ms * 1000 >= period.to_us)


def share_within(file: ArchivedSpan, from_at: Micros, to_at: Micros) -> float:
    """Which share of the file's time lies in the range: an estimate of the share of its frames."""
    least_us, end_us = file.least_ms * 1000, file.greatest_ms * 1000 + 1
    return max(0, min(end_us, to_at) - max(least_us, from_at)) / (end_us - least_us)


def without(span: Span, taken: Iterable[Span]) -> list[Span]:
    """What is left of the span."""
    left, position = list[Span](), span.start
    for one in sorted(taken, key=lambda one: one.start):
        if one.topic_partition == span.topic_partition and one.end > position:
            left.append(replace(span, start=position, end=min(one.start, span.end)))
            position = one.end
    left.append(replace(span, start=position))
    return [one for one in left if len(one)]


def pieces(span: Span, archived: Sequence[Span]) -> list[tuple[Span, bool]]:
    """The span in the order of offsets, each part with whether the archive has it."""
    taken = [
        replace(span, start=max(one.start, span.start), end=min(one.end, span.end))
        for one in archived
        if one.topic_partition == span.topic_partition
    ]
    taken = [one for one in taken if len(one)]
    parts = [(one, True) for one in taken] + [(one, False) for one in without(span, taken)]
    return sorted(parts, key=lambda part: part[0].start)


@dataclass(frozen=True, slots=True)
class Archived:
    """What an archive holds of the topic. `held`: the offsets that a replay takes from it. `only`: which frames it
    keeps; None for all.
    """

    files: tuple[ArchivedSpan, ...] = ()
    held: tuple[Span, ...] = ()
    only: str | None = None

    def ranges(self, period: Period) -> list[Span]:
        """The offsets that are read from the archive for that period."""
        wanted = covered(file for file in self.files if may_hold(file, period))
        return [part for span in wanted for part, is_held in pieces(span, self.held) if is_held]

    def expected(self, from_at: Micros, to_at: Micros) -> tuple[int, int]:
        """About how many frames and bytes of the range it holds."""
        shares = [(file, share_within(file, from_at, to_at)) for file in self.files]
        frames = sum(file.frames * share for file, share in shares)
        return round(frames), round(sum(file.payload_bytes * share for file, share in shares))

    def gaps(self, expired: Iterable[ReplayGap], from_at: Micros, period: Period) -> list[ReplayGap]:
        """What is neither on the topic nor in the archive, of what retention has removed."""
        left = [part for gap in expired for part in unarchived(gap, self.held) if not self._is_before(part, from_at)]
        if self.only is None:
            return left
        why = f"the archive keeps only {self.only}"
        return left + [ReplayGap(one.topic, one.partition, one.start, one.end, why) for one in self.ranges(period)]

    def _is_before(self, gap: ReplayGap, from_at: Micros) -> bool:
        """Whether the gap lies before an archived frame that is older than the range."""
        return any(
            file.partition == gap.partition and gap.to_offset <= file.from_offset and file.least_ms * 1000 < from_at
            for file in self.files
        )


NO_ARCHIVE = Archived()


def archived(files: Sequence[ArchivedSpan], only: str | None, log: Iterable[Span]) -> Archived:
    """What a replay takes from an archive: all that it has, or where it keeps selected frames only, what is gone from
    the topic, whose present ranges are `log`.
    """
    held = covered(files)
    if only is not None:
        starts = {span.topic_partition: span.start for span in log}
        held = [replace(one, end=min(one.end, starts.get(one.topic_partition, one.end))) for one in held]
    return Archived(tuple(files), tuple(one for one in held if len(one)), only)
