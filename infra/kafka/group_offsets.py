"""The committed offsets of a consumer group and the end offsets of a topic, asked for without being a member.

The committed offsets are asked for through a Consumer that never subscribes: `AdminClient.list_consumer_group_offsets`
of confluent-kafka 2.16.1 ends the process with a segmentation fault when the coordinator answers with an error
(NOT_COORDINATOR just after a cluster's first start, say): its answer handler wants the group that only a consumer has.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import confluent_kafka
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException
from confluent_kafka.admin import ListOffsetsResultInfo, OffsetSpec

from infra.kafka import clients
from infra.kafka.conversions import positions_of
from infra.kafka.errors import KafkaFailure, failure_of, fault_of
from infra.process.lifecycle import Deadline
from infra.settings import KIB, Settings
from schemas.coordinates import TopicPartition

# A lag that lasts longer is examined: it may consist of offsets without a readable record.
LOOK_AFTER_S = 1.0
# It is enough to see that a record is there. Brokers send the first batch of a fetch whole, whatever its size, and then
# no more than these limits: a look moves one batch of each partition at most.
ONLY_A_LOOK: clients.Keys = {
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "queued.min.messages": 1,
    "max.partition.fetch.bytes": 4 * KIB,
    "fetch.queue.backoff.ms": 1,
}

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_Answers = Callable[[], Mapping[TopicPartition, ListOffsetsResultInfo]]


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
        return sum(self.lags(partitions).values())

    def lags(self, partitions: Collection[int] | None = None) -> dict[int, int]:
        """The same of each partition."""
        return {one: max(0, self.ends[one] - self.committed.get(one, 0)) for one in self._chosen(partitions)}

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
        self._consumer = clients.consumer(settings, group, **ONLY_A_LOOK)

    def ask(self, timeout_s: float, partitions: Collection[int] | None = None) -> Offsets:
        """The offsets of those of `partitions` that exist, or of all. The time is one budget for all that is asked."""
        try:
            return self._ask(Deadline(timeout_s), partitions)
        except KafkaException as error:
            raise failure_of(error) from error

    def close(self) -> None:
        self._consumer.close()

    def _ask(self, deadline: Deadline, wanted: Collection[int] | None) -> Offsets:
        if wanted is not None and not wanted:
            self._ahead.clear()
            return Offsets({}, {})
        # The consumer asks, not the admin client: one that does not know the topic begins to read it a second later.
        topic = self._consumer.list_topics(self._topic, timeout=deadline.remaining_s()).topics[self._topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        partitions = [one for one in topic.partitions if wanted is None or one in wanted]
        # Three requests under way at once, each for all partitions.
        firsts, ends = (self._begin_list(partitions, spec, deadline) for spec in (_EARLIEST, _LATEST))
        committed = self._committed(partitions, deadline)
        starts = {one: max(first, committed.get(one, first)) for one, first in _by_number(firsts()).items()}
        return self._go_ahead(starts, _by_number(ends()), deadline)

    def _go_ahead(self, starts: dict[int, int], ends: dict[int, int], deadline: Deadline) -> Offsets:
        """The offsets, with `committed` at the next record that the group can read, as far as it is known."""
        known, now_s = self._ahead, time.monotonic()
        self._ahead = {
            one: known[one] if one in known and known[one].start == start else Ahead(start, start)
            for one, start in starts.items()
        }
        unknown = {one for one, ahead in self._ahead.items() if ahead.should_look(ends[one], now_s)}
        if unknown:
            self._look(unknown, deadline)
        return Offsets({one: ahead.next for one, ahead in self._ahead.items()}, ends)

    def _look(self, unknown: set[int], deadline: Deadline) -> None:
        """Examine these partitions together: the next of each is its first record, or the offset where reading ends.

        Raises TimeoutError where some were not read in time; what was found of the others is kept.
        """
        self._consumer.assign([self._place(one, self._ahead[one].next) for one in unknown])
        try:
            while unknown:
                message = self._consumer.poll(deadline.remaining_s())
                if message is None:
                    raise TimeoutError(f"{self._topic}: partitions {sorted(unknown)} were not read in time")
                error, partition = message.error(), message.partition()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if partition in unknown:
                    unknown.discard(partition)
                    # Now, or the client reads on in it while the others are waited for.
                    self._consumer.incremental_unassign([self._place(partition)])
                    ahead = self._ahead[partition]
                    ahead.next, ahead.is_record = int(message.offset() or 0), error is None
        finally:
            self._consumer.unassign()

    def _committed(self, partitions: Collection[int], deadline: Deadline) -> dict[int, int]:
        """Without the partitions of which the group never committed anything."""
        found = self._consumer.committed([self._place(one) for one in partitions], deadline.remaining_s())
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def _place(self, partition: int, offset: int = OFFSET_INVALID) -> confluent_kafka.TopicPartition:
        return confluent_kafka.TopicPartition(self._topic, partition, offset)

    def _begin_list(self, partitions: Collection[int], spec: OffsetSpec, deadline: Deadline) -> _Answers:
        places = [TopicPartition(self._topic, one) for one in partitions]
        return clients.begin_list_offsets(self._admin, places, spec, deadline.remaining_s())


def _by_number(found: Mapping[TopicPartition, ListOffsetsResultInfo]) -> dict[int, int]:
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
    """Set the committed offsets of a group, which must have no member now. Raises KafkaFailure, also for one partition:
    a coordinator that does not know a new topic yet keeps the offsets of the others alone.
    """
    client = clients.admin(settings)  # a local variable: the answers come only while the client exists
    request = confluent_kafka.ConsumerGroupTopicPartitions(group, positions_of(offsets))
    try:
        (future,) = client.alter_consumer_group_offsets([request]).values()
        answers = future.result(timeout_s).topic_partitions
    except KafkaException as error:
        raise failure_of(error) from error
    for answer in answers:
        if answer.error is not None:
            raise KafkaFailure(fault_of(answer.error))
