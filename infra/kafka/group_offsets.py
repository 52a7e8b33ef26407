"""The committed offsets of a consumer group and the end offsets of a topic, asked for without being a member.

The committed offsets are asked for through a Consumer that never subscribes: `AdminClient.list_consumer_group_offsets`
of confluent-kafka 2.16.1 ends the process with a segmentation fault when the coordinator answers with an error
(NOT_COORDINATOR just after a cluster's first start, say): its answer handler wants the group that only a consumer has.
"""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import OffsetSpec

from infra.kafka import clients
from infra.kafka.conversions import positions_of
from infra.kafka.errors import KafkaFailure, failure_of, fault_of
from infra.settings import Settings
from schemas.coordinates import TopicPartition

# A lag that lasts longer is examined: it may consist of offsets without a readable record.
LOOK_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Offsets:
    """Per partition: where the group goes on (the topic's first offset where it never committed), and the end.

    A group goes on at the next record that it can read. Between the committed offset and that record may lie expired
    records, transaction markers and aborted records, for which no offset is ever committed. Records of an open
    transaction lie behind the end.
    """

    committed: dict[int, int]
    ends: dict[int, int]

    def lag(self, partitions: Collection[int] | None = None) -> int:
        """Offsets that wait, in those partitions or in all."""
        return sum(max(0, self.ends[one] - self.committed.get(one, 0)) for one in self._chosen(partitions))

    def position(self, partitions: Collection[int] | None = None) -> int:
        """A number that grows whenever the group commits something there."""
        return sum(self.committed.get(one, 0) for one in self._chosen(partitions))

    def _chosen(self, partitions: Collection[int] | None) -> list[int]:
        return [one for one in self.ends if partitions is None or one in partitions]


@dataclass(slots=True)
class Ahead:
    """What is known of a partition from `start` on: there is no record before `next`. Pure."""

    start: int
    next: int
    is_record: bool = False
    _waits_since_s: float | None = None

    def should_look(self, end: int, now_s: float) -> bool:
        """Whether the lag has lasted so long that `next` must be examined for a record."""
        if self.next >= end or self.is_record:
            self._waits_since_s = None
            return False
        if self._waits_since_s is None:
            self._waits_since_s = now_s
        return now_s - self._waits_since_s >= LOOK_AFTER_S


class GroupOffsets:
    """Asks for one group and one topic; used by one thread. Raises KafkaFailure or TimeoutError without an answer."""

    def __init__(self, settings: Settings, group: str, topic: str) -> None:
        self._topic = topic
        self._ahead: dict[int, Ahead] = {}
        self._admin = clients.admin(settings)
        only_a_look = {"enable.partition.eof": True, "isolation.level": "read_committed", "queued.min.messages": 1}
        self._consumer = clients.consumer(settings, group, **only_a_look)

    def ask(self, timeout_s: float) -> Offsets:
        try:
            return self._ask(timeout_s)
        except KafkaException as error:
            raise failure_of(error) from error

    def close(self) -> None:
        self._consumer.close()

    def _ask(self, timeout_s: float) -> Offsets:
        # The consumer asks, not the admin client: one that does not know the topic begins to read it a second later.
        topic = self._consumer.list_topics(self._topic, timeout=timeout_s).topics[self._topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        partitions = topic.partitions
        starts = self._list(partitions, _spec("earliest"), timeout_s)
        ends = self._list(partitions, _spec("latest"), timeout_s)
        for found in self._consumer.committed(
            [confluent_kafka.TopicPartition(self._topic, one) for one in ends], timeout_s
        ):
            starts[found.partition] = max(starts[found.partition], found.offset)
        return Offsets({one: self._next(one, start, ends[one], timeout_s) for one, start in starts.items()}, ends)

    def _next(self, partition: int, start: int, end: int, timeout_s: float) -> int:
        ahead = self._ahead.get(partition)
        if ahead is None or ahead.start != start:
            ahead = self._ahead[partition] = Ahead(start, start)
        if ahead.should_look(end, time.monotonic()):
            ahead.next, ahead.is_record = self._look(partition, ahead.next, timeout_s)
        return ahead.next

    def _look(self, partition: int, offset: int, timeout_s: float) -> tuple[int, bool]:
        """The offset of the first record from there on and True, or the offset where reading ends and False."""
        self._consumer.assign([confluent_kafka.TopicPartition(self._topic, partition, offset)])
        message = self._consumer.poll(timeout_s)
        self._consumer.unassign()
        if message is None:
            raise TimeoutError(f"{self._topic}/{partition} was not read from {offset} on within {timeout_s:g} s")
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        return int(message.offset() or 0), error is None

    def _list(self, partitions: Collection[int], spec: OffsetSpec, timeout_s: float) -> dict[int, int]:
        found = clients.list_offsets(
            self._admin, [TopicPartition(self._topic, one) for one in partitions], spec, timeout_s
        )
        return {partition: int(place.offset) for (_, partition), place in found.items()}


def committed_offsets(
    settings: Settings, group: str, partitions: Iterable[TopicPartition], timeout_s: float
) -> dict[TopicPartition, int]:
    """The committed offsets of a group, without those partitions where it never committed. Raises KafkaFailure."""
    client = clients.consumer(settings, group, **{"isolation.level": "read_committed"})
    try:
        places = [confluent_kafka.TopicPartition(*partition) for partition in partitions]
        found = client.committed(places, timeout_s)
    except KafkaException as error:
        raise failure_of(error) from error
    finally:
        client.close()
    for place in found:
        if place.error is not None:
            raise KafkaFailure(fault_of(place.error))
    return {TopicPartition(place.topic, place.partition): place.offset for place in found if place.offset >= 0}


def set_group_offsets(settings: Settings, group: str, offsets: Mapping[TopicPartition, int], timeout_s: float) -> None:
    """Set the committed offsets of a group, which must have no member now. Raises KafkaFailure."""
    client = clients.admin(settings)  # a local variable: the answers come only while the client exists
    request = confluent_kafka.ConsumerGroupTopicPartitions(group, positions_of(offsets))
    try:
        for future in client.alter_consumer_group_offsets([request]).values():
            future.result(timeout_s)
    except KafkaException as error:
        raise failure_of(error) from error


def _spec(name: Literal["earliest", "latest"]) -> OffsetSpec:
    made: OffsetSpec = getattr(OffsetSpec, name)()  # the class has no types
    return made
