"""How far the stages are: asked for before the outcomes are read, so that a frame that moves meanwhile is in one."""

import time
from collections.abc import Callable, Collection
from functools import partial

from infra.kafka.errors import FaultKind, KafkaFailure
from infra.kafka.group_offsets import committed_offsets
from infra.kafka.reader import Reader
from infra.kafka.start_checks import missing_group_rights
from infra.kafka.topics import Lane, TopicNames, group
from infra.process.lifecycle import Deadline
from infra.settings import Settings
from schemas.coordinates import TopicPartition
from sinks.explain.found import Positions

ANSWER_S, AGAIN_S = 5.0, 0.2
Committed = dict[TopicPartition, int]
# The group that reads a topic, by the field of the topic's name.
GROUPS = {"frames": "stream", "batches": "infer", "retry": "retry"}


def read_positions(
    settings: Settings, reader: Reader, names: TopicNames, lane: Lane, topics: Collection[str]
) -> Positions:
    """Those of the groups that read these topics. What Kafka refuses to tell is told as not known."""
    committed: Committed = {}
    unknown: dict[str, str] = {}
    for name, kind in GROUPS.items():
        topic, group_id = getattr(names, name), group(kind, settings.topic_prefix, lane)
        if topic not in topics:
            unknown[kind] = f"how far {group_id} is: {topic} was not looked at"
            continue
        partitions = [TopicPartition(topic, number) for number in reader.partitions(topic)]
        try:
            committed |= _answer(partial(committed_offsets, settings, group_id, partitions, ANSWER_S))
        except KafkaFailure as failure:
            # A group that is hidden has no coordinator for us, and the answer is awaited in vain.
            lacking = missing_group_rights(settings, {group_id: topic})
            why = f"the right {', '.join(lacking)} is missing" if lacking else str(failure)
            unknown[kind] = f"how far {group_id} is: {why}"
    return Positions(committed, unknown)


def _answer(ask: Callable[[], Committed]) -> Committed:
    """Asks again while the error may pass: a coordinator that has just moved first loads its groups."""
    deadline = Deadline(ANSWER_S)
    while True:
        try:
            return ask()
        except KafkaFailure as failure:
            if failure.fault.kind is not FaultKind.PASSING or deadline.expired():
                raise
        time.sleep(AGAIN_S)
