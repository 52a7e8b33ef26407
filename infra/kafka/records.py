"""The one consumed record of Sightline, made once from what the Kafka client gives."""

from dataclasses import dataclass
from typing import cast

import confluent_kafka

from infra.process import logs
from schemas.coordinates import Coordinates, TopicPartition
from schemas.headers import RawHeaders

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class ConsumedRecord:
    """One record as it lies on its topic. `timestamp_ms`: the record's own time, since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: RawHeaders

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    @property
    def coordinates(self) -> Coordinates:
        return Coordinates(self.topic, self.partition, self.offset)


def consumed_record(message: confluent_kafka.Message) -> ConsumedRecord:
    """The record of a message, also of one that carries an error: -1 stands for a partition or offset that it lacks.

    Call it once for each message: the client gives the headers only once (see `_headers`).
    """
    partition, offset = message.partition(), message.offset()
    return ConsumedRecord(
        topic=message.topic() or "",
        partition=-1 if partition is None else partition,
        offset=-1 if offset is None else offset,
        timestamp_ms=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
        headers=_headers(message),
    )


def _headers(message: confluent_kafka.Message) -> RawHeaders:
    """The headers; None where a header's name is not UTF-8: confluent-kafka cannot give any header of such a record.

    Asked a second time, the client would give a list with holes in it.
    """
    try:
        return cast(RawHeaders, message.headers())
    except SystemError as error:
        if not isinstance(error.__cause__, UnicodeDecodeError):
            raise
        log.warning(
            "headers left out: a name is not UTF-8",
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
        )
        return None
