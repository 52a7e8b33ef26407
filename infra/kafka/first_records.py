"""Looks at where the client begins to read a partition by itself: at an offset that was committed for this very topic?

The client takes any committed offset. One of another topic of the same name, which was deleted, would pass over the
first records of the present one.
"""

from collections.abc import Iterable
from typing import Any

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, KafkaException

from infra.kafka.conversions import theirs
from infra.kafka.errors import failure_of
from infra.kafka.records import ConsumedRecord
from infra.kafka.topic_ids import TopicIds, is_of_another_topic, note_in
from infra.process import logs
from schemas.coordinates import TopicPartition

log = logs.get(__name__)

ASK_TIMEOUT_S = 2.0


def offset_for(answer: Any, topic_ids: TopicIds) -> int:
    """The committed offset of the client's answer; negative where there is none, or one of another topic only."""
    topic_id = topic_ids.get(answer.topic)
    is_stale = topic_id is not None and is_of_another_topic(note_in(answer), topic_id)
    return OFFSET_INVALID if is_stale else int(answer.offset)


class FirstRecords:
    """The partitions of a member of which no record came yet. For the polling thread."""

    def __init__(self, topic_ids: TopicIds) -> None:
        self._topic_ids = topic_ids
        self._partitions: set[TopicPartition] = set()

    def expect(self, partitions: Iterable[TopicPartition]) -> None:
        """The client begins to read these partitions where it likes."""
        self._partitions.update(one for one in partitions if self._topic_ids.get(one.topic) is not None)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """They are not owned any more, or the caller said where they are to be read."""
        self._partitions.difference_update(partitions)

    def passes(self, client: Any, record: ConsumedRecord) -> bool:
        """Whether the record is to be given on. Else the client goes to where it should have begun, or tries again.

        Raises KafkaFailure where the client can do neither.
        """
        partition = record.topic_partition
        if partition not in self._partitions:
            return True
        begin = self._begin(client, record)
        if begin == record.offset:
            self._partitions.discard(partition)
            return True
        try:
            client.seek(confluent_kafka.TopicPartition(*partition, record.offset if begin is None else begin))
        except KafkaException as error:
            raise failure_of(error) from error
        if begin is not None:
            self._partitions.discard(partition)
        return False

    def _begin(self, client: Any, record: ConsumedRecord) -> int | None:
        """Where to read; None while the broker does not tell what is committed."""
        try:
            (answer,) = client.committed(theirs([record.topic_partition]), timeout=ASK_TIMEOUT_S)
            if answer.error is not None:
                raise KafkaException(answer.error)
        except KafkaException as error:
            log.warning("the broker does not tell the committed offset yet", error=error.args[0].str())
            return None
        if answer.offset < 0 or offset_for(answer, self._topic_ids) >= 0:
            return record.offset
        log.warning(
            "the committed offset is of another topic of this name: this one is read from its beginning",
            partition=str(record.topic_partition),
            committed=answer.offset,
        )
        return OFFSET_BEGINNING
