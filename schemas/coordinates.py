"""Where things lie in Kafka: one name for (topic, partition), one for (topic, partition, offset)."""

from dataclasses import dataclass
from typing import NamedTuple


class TopicPartition(NamedTuple):
    """One partition of one topic. Equal to the plain tuple, so it is a key of any dictionary of partitions."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


@dataclass(frozen=True, slots=True)
class Coordinates:
    """The place of one record. Of a frame it is the identity that audit, sinks and deduplication go by."""

    topic: str
    partition: int
    offset: int

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"
