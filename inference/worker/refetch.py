"""A frame again from its source topic, by its coordinates: what the retry lane and dead letters carry."""

import threading
import time
from collections.abc import Sequence

import confluent_kafka
from confluent_kafka import KafkaError, TopicPartition

from infra.failures.outcomes import FrameRecord
from infra.kafka.clients import consumer
from infra.kafka.records import consumed_record
from infra.process import logs
from infra.settings import Settings
from schemas.errors import Unavailable

log = logs.get(__name__)

# Nearer than this, reading on is cheaper than a seek, which empties what was fetched ahead.
READ_ON_OFFSETS = 64
POLL_S = 0.2
GONE = (
    KafkaError._PARTITION_EOF,
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)


class Refetch:
    """One consumer without a group, made at the first call; for one thread. Commits nothing."""

    def __init__(self, settings: Settings, timeout_s: float = 10.0) -> None:
        self._settings, self._timeout_s = settings, timeout_s
        self._consumer: confluent_kafka.Consumer | None = None
        self._closed = threading.Event()

    def fetch(self, topic: str, partition: int, offsets: Sequence[int]) -> dict[int, FrameRecord]:
        """The records at those offsets; one that retention has deleted is left out.

        Raises Unavailable when the broker gives neither a record nor a reason in time.
        """
        found: dict[int, FrameRecord] = {}
        position = -1
        for wanted in sorted(set(offsets)):
            if position < 0 or not 0 <= wanted - position <= READ_ON_OFFSETS:
                self._assign(topic, partition, wanted)
            message = self._read_to(topic, partition, wanted)
            if message is None:
                position = -1
                continue
            position = int(message.offset() or 0) + 1
            if message.offset() == wanted:
                found[wanted] = _record(message)
        return found

    def close(self) -> None:
        self._closed.set()
        if self._consumer is not None:
            self._consumer.close()

    def _assign(self, topic: str, partition: int, offset: int) -> None:
        if self._consumer is None:
            self._consumer = consumer(
                self._settings,
                "sightline-refetch",  # librdkafka wants a name even where no group is joined
                **{
                    "auto.offset.reset": "error",
                    "enable.partition.eof": True,
                    "queued.min.messages": 1,
                    "queued.max.messages.kbytes": 1024,
                },
            )
        self._consumer.assign([TopicPartition(topic, partition, offset)])

    def _read_to(self, topic: str, partition: int, wanted: int) -> confluent_kafka.Message | None:
        """The first record at or behind `wanted`; None where there is none any more."""
        assert self._consumer is not None
        end_s = time.monotonic() + self._timeout_s
        while time.monotonic() < end_s and not self._closed.is_set():
            message = self._consumer.poll(POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is None:
                if (message.offset() or 0) >= wanted:
                    return message
            elif error.code() in GONE:
                return None
            else:
                log.warning("cannot read a frame again yet", topic=topic, partition=partition, error=error.str())
        raise Unavailable("Kafka", f"{topic}/{partition}", f"offset {wanted} could not be read again in time")


def _record(message: confluent_kafka.Message) -> FrameRecord:
    record = consumed_record(message)
    return FrameRecord(record.coordinates, record.timestamp_ms, record.key, record.value, record.headers)
