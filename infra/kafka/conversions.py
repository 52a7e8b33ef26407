"""Our coordinates as the client's objects, and back."""

from collections.abc import Iterable, Mapping
from typing import Any

import confluent_kafka

from infra.kafka.topic_ids import TopicIds, note_of
from schemas.coordinates import TopicPartition


def ours(found: Iterable[Any]) -> list[TopicPartition]:
    return [TopicPartition(one.topic, one.partition) for one in found]


def theirs(partitions: Iterable[TopicPartition]) -> list[Any]:
    return [confluent_kafka.TopicPartition(*one) for one in partitions]


def positions_of(offsets: Mapping[TopicPartition, int]) -> list[Any]:
    return [confluent_kafka.TopicPartition(*partition, offset) for partition, offset in offsets.items()]


def commits_of(offsets: Mapping[TopicPartition, int], topic_ids: TopicIds) -> list[Any]:
    """The same to be committed, each with the id of its topic."""
    return [
        confluent_kafka.TopicPartition(*partition, offset, metadata=note_of(topic_ids.get(partition.topic)))
        for partition, offset in offsets.items()
    ]
