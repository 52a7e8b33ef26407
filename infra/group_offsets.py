"""What a consumer group has committed of a topic, and where the topic ends, without being a member.

The committed offsets are asked for through a Consumer that never subscribes: `AdminClient.list_consumer_group_offsets`
of confluent-kafka 2.16.1 ends the process with a segmentation fault when the coordinator answers with an error
(NOT_COORDINATOR just after a cluster's first start, say): its answer handler wants the group that only a consumer has.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec

from infra import kafka
from infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Offsets:
    """Per partition: the next offset the group will read (the topic's first where it never committed), and the end."""

    committed: dict[int, int]
    ends: dict[int, int]

    def lag(self, partitions: Collection[int] = ()) -> int:
        """Records that wait, in those partitions or, when none are named, in all."""
        return sum(max(0, self.ends[one] - self.committed.get(one, 0)) for one in self._chosen(partitions))

    def position(self, partitions: Collection[int] = ()) -> int:
        """A number that grows whenever the group commits something there."""
        return sum(self.committed.get(one, 0) for one in self._chosen(partitions))

    def _chosen(self, partitions: Collection[int]) -> list[int]:
        return [one for one in self.ends if not partitions or one in partitions]


class GroupOffsets:
    """Asks for one group and one topic; used by one thread. Raises KafkaException or TimeoutError without an answer."""

    def __init__(self, settings: Settings, group: str, topic: str) -> None:
        self._topic = topic
        self._admin = kafka.admin(settings)
        self._consumer = kafka.consumer(settings, group)

    def ask(self, timeout_s: float) -> Offsets:
        ends = self._list(_spec("latest"), timeout_s)
        found = self._consumer.committed([TopicPartition(self._topic, one) for one in ends], timeout_s)
        committed = {one.partition: one.offset for one in found if one.offset >= 0}
        if len(committed) < len(ends):
            committed = {**self._list(_spec("earliest"), timeout_s), **committed}
        return Offsets(committed, ends)

    def close(self) -> None:
        self._consumer.close()

    def _list(self, spec: OffsetSpec, timeout_s: float) -> dict[int, int]:
        topic = self._admin.list_topics(self._topic, timeout=timeout_s).topics[self._topic]
        asked = {TopicPartition(self._topic, one): spec for one in topic.partitions}
        answers = self._admin.list_offsets(asked, request_timeout=timeout_s)
        return {place.partition: answer.result(timeout_s).offset for place, answer in answers.items()}


def _spec(name: Literal["earliest", "latest"]) -> OffsetSpec:
    made: OffsetSpec = getattr(OffsetSpec, name)()  # the class has no types
    return made
