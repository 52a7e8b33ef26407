"""Which offsets of the replay lane hold the copies of one replay. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from infra.kafka.sender import DeliveryReport
from schemas.coordinates import TopicPartition
from schemas.replays import OffsetRange

# Of one partition. Each resumption begins a new one, because other replays may have written in between.
MAX_RANGES = 32

# Of one process: the first offset of each partition, and the one behind the last.
Session = Mapping[TopicPartition, tuple[int, int]]


def with_reports(session: Session, reports: Iterable[DeliveryReport]) -> Session:
    """The session with the records of these reports. One writer's copies follow each other, but for markers."""
    grown = dict(session)
    for report in reports:
        partition = TopicPartition(report.topic, report.partition)
        first, end = grown.get(partition, (report.offset, report.offset))
        grown[partition] = (min(first, report.offset), max(end, report.offset + 1))
    return grown


def lane_of(former: Sequence[OffsetRange], session: Session) -> tuple[OffsetRange, ...]:
    """The ranges of former processes and of this one; those of a partition that has too many become one."""
    found = [*former, *(OffsetRange(*partition, *ends) for partition, ends in session.items())]
    by_partition: dict[TopicPartition, list[OffsetRange]] = {}
    for one in sorted(found, key=lambda one: (one.topic_partition, one.from_offset)):
        by_partition.setdefault(one.topic_partition, []).append(one)
    return tuple(one for ranges in by_partition.values() for one in _bounded(ranges))


def _bounded(ranges: list[OffsetRange]) -> list[OffsetRange]:
    if len(ranges) <= MAX_RANGES:
        return ranges
    first, last = ranges[0], ranges[-MAX_RANGES]
    return [OffsetRange(first.topic, first.partition, first.from_offset, last.to_offset), *ranges[-MAX_RANGES + 1 :]]
