"""How far the stages are: asked for before the outcomes are read, so that a frame that moves meanwhile is in one."""

from collections.abc import Collection

from infra.kafka.errors import KafkaFailure
from infra.kafka.group_offsets import committed_offsets
from infra.kafka.reader import Reader
from infra.kafka.topics import Lane, TopicNames, group
from infra.settings import Settings
from schemas.coordinates import TopicPartition
from sinks.explain.found import Positions

ANSWER_S = 5.0
# The group that reads a topic, by the field of the topic's name.
GROUPS = {"frames": "stream", "batches": "infer", "retry": "retry"}


def read_positions(
    settings: Settings, reader: Reader, names: TopicNames, lane: Lane, topics: Collection[str]
) -> Positions:
    """Those of the groups that read these topics. What Kafka refuses to tell is told as not known."""
    committed: dict[TopicPartition, int] = {}
    unknown: dict[str, str] = {}
    for name, kind in GROUPS.items():
        topic, group_id = getattr(names, name), group(kind, settings.topic_prefix, lane)
        if topic not in topics:
            unknown[kind] = f"how far {group_id} is: {topic} was not looked at"
            continue
        partitions = [TopicPartition(topic, number) for number in reader.partitions(topic)]
        try:
            committed |= committed_offsets(settings, group_id, partitions, ANSWER_S)
        except KafkaFailure as failure:
            unknown[kind] = f"how far {group_id} is: {failure}"
    return Positions(committed, unknown)
