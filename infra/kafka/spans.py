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
    """A range of time, without its end; None is no limit. What lies in it is known by a record's own timestamp alone.

    Offsets do not tell: cameras with different clocks share a partition, so its timestamps run backwards.
    """

    from_us: Micros | None = None
    to_us: Micros | None = None

    @property
    def endless(self) -> bool:
        return self.from_us is None and self.to_us is None

    def holds(self, timestamp_ms: int) -> bool:
        at_us = timestamp_ms * 1000
        return (self.from_us is None or self.from_us <= at_us) and (self.to_us is None or at_us < self.to_us)
