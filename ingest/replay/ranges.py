"""Which offsets hold the frames of a period, from what the broker tells of times. Pure.

The broker tells the first record of a time or later. Records of one partition are not in the order of their times, so
that is a bound for some questions only:

- every frame of [from, to) has a time of `from` or later, so none lies before the first record that has: exact;
- behind the first record of `to` or later there can be more frames of the range, written late. A record's time lies at
  most `late` before its sending and AHEAD after it (`ingest.publish.record_time`). Once a record of `to + late + AHEAD`
  or later is on the topic, it was sent at `to + late` or later, and so were all records behind it: none of them belongs
  to the range. SLACK is for clocks of machines that differ, and for records that were sent earlier and written later.
  Where there is no such record yet, the range is read up to the end of the topic.

The copy reads all of that and takes each record by its own time.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from infra.kafka.spans import Span
from ingest.publish.record_time import AHEAD_US
from schemas.coordinates import TopicPartition
from schemas.records import Micros
from schemas.replays import ReplayGap

SLACK_US = 10 * 60 * 1_000_000
RETENTION = "retention removed them before the replay began"


@dataclass(frozen=True, slots=True)
class PartitionTimes:
    """What the broker tells of a partition: its log from `start` to `end`, and the first record of three times.

    `first`: of `from` or later; `past`: of `to` or later; `beyond`: so late that no frame of the range is behind it.
    None: there is no such record.
    """

    partition: TopicPartition
    start: int
    end: int
    first: int | None
    past: int | None
    beyond: int | None


def bound_us(to_at: Micros, late_us: Micros) -> Micros:
    """From the first record of this time on, no record is of a time before `to_at`."""
    return to_at + late_us + AHEAD_US + SLACK_US


def span_of(times: PartitionTimes) -> Span:
    """The offsets that hold every frame of the range that is on the topic; empty where there is none."""
    begin = times.end if times.first is None else min(times.first, times.end)
    end = times.end if times.beyond is None else min(times.beyond, times.end)
    return Span(*times.partition, begin, max(begin, end))


def expected_span(times: PartitionTimes) -> Span:
    """The offsets that are those of the range if the times are in order."""
    begin = times.end if times.first is None else min(times.first, times.end)
    past = times.end if times.past is None else min(times.past, times.end)
    return Span(*times.partition, begin, max(begin, past))


def expired_gap(times: PartitionTimes, from_at: Micros, oldest_kept: Micros | None) -> ReplayGap | None:
    """The offsets that retention removed, where frames of the range can have been among them.

    Which records they were is not known any more. There can be one of the range where what is left begins within it.
    Where nothing is left, there can be one if the range begins before `oldest_kept`: no younger record has been removed
    for its age. None: the topic does not say for how long it keeps records.
    """
    if not times.start:
        return None
    is_empty = times.start >= times.end
    begins_within = times.first == times.start
    can_be_removed = oldest_kept is None or from_at < oldest_kept
    if begins_within or (is_empty and can_be_removed):
        return ReplayGap(*times.partition, 0, times.start, RETENTION)
    return None


def unarchived(gap: ReplayGap, archived: Iterable[Span]) -> list[ReplayGap]:
    """What is left of the gap where an archive holds parts of it."""
    left, position = list[ReplayGap](), gap.from_offset
    for span in sorted(archived, key=lambda one: one.start):
        if (span.topic, span.partition) != (gap.topic, gap.partition) or span.end <= position:
            continue
        if position < span.start:
            left.append(_part(gap, position, min(span.start, gap.to_offset)))
        position = max(position, span.end)
    if position < gap.to_offset:
        left.append(_part(gap, position, gap.to_offset))
    return [one for one in left if one.from_offset < one.to_offset]


def _part(gap: ReplayGap, start: int, end: int) -> ReplayGap:
    return ReplayGap(gap.topic, gap.partition, start, end, gap.reason)
