"""Ranges of offsets and ranges of time on topics. Pure."""

from dataclasses import dataclass

from schemas.coordinates import TopicPartition
from schemas.records import Micros


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets `start` to `end`, without `end`, of one partition."""

    topic: str
    partition: int
    start: int
    end: int

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    def __len__(self) -> int:
        return max(0, self.end - self.start)


@dataclass(frozen=True, slots=True)
class Period:
    """A range of time without its end; None is no limit. Only the timestamp of a record tells whether it is inside.

    Offsets do not: cameras with different clocks share a partition, so timestamps are not in order there.
    """

    from_us: Micros | None = None
    to_us: Micros | None = None

    @property
    def endless(self) -> bool:
        return self.from_us is None and self.to_us is None

    def holds(self, timestamp_ms: int) -> bool:
        at_us = timestamp_ms * 1000
        return (self.from_us is None or self.from_us <= at_us) and (self.to_us is None or at_us < self.to_us)
