"""Single records by their coordinates, read again without a consumer group. Commits nothing."""

import threading
import time
from collections.abc import Iterable
from typing import Any

import confluent_kafka

from infra.kafka.clients import consumer
from infra.kafka.errors import FaultKind, fault_of
from infra.kafka.records import ConsumedRecord, consumed_record
from infra.process import logs
from infra.settings import Settings
from schemas.coordinates import TopicPartition
from schemas.errors import Unavailable

log = logs.get(__name__)

# Up to this distance, reading on is cheaper than a seek, which throws away what was fetched ahead.
READ_ON_OFFSETS = 64
POLL_S = 0.2
_NOT_THERE = (FaultKind.END_OF_PARTITION, FaultKind.NO_OFFSET, FaultKind.GONE)
_KEYS = {
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 1024,
}


class RecordLookup:
    """One consumer, made at the first call. For one thread; any may call `close`, which waits for a poll."""

    def __init__(self, settings: Settings, timeout_s: float = 10.0) -> None:
        self._settings, self._timeout_s = settings, timeout_s
        self._consumer: confluent_kafka.Consumer | None = None
        self._closed = threading.Event()
        self._in_use = threading.Lock()  # librdkafka's handle must not go while it is polled

    def fetch(self, partition: TopicPartition, offsets: Iterable[int]) -> dict[int, ConsumedRecord]:
        """The records at those offsets. One that does not exist any more (retention, compaction) is left out.

        Raises Unavailable when the broker gives neither a record nor a reason in time, and after `close`.
        """
        with self._in_use:
            return self._fetch(partition, offsets)

    def close(self) -> None:
        self._closed.set()
        with self._in_use:
            if self._consumer is not None:
                self._consumer.close()

    def _fetch(self, partition: TopicPartition, offsets: Iterable[int]) -> dict[int, ConsumedRecord]:
        found: dict[int, ConsumedRecord] = {}
        position = -1
        for wanted in sorted(set(offsets)):
            if position < 0 or not 0 <= wanted - position <= READ_ON_OFFSETS:
                self._assign(partition, wanted)
            record = self._read_to(partition, wanted)
            if record is None:
                position = -1
                continue
            position = record.offset + 1
            if record.offset == wanted:
                found[wanted] = record
        return found

    def _assign(self, partition: TopicPartition, offset: int) -> None:
        if self._closed.is_set():
            raise Unavailable("Kafka", str(partition), "the look-up is closed")
        if self._consumer is None:
            # librdkafka wants the name of a group even where none is joined.
            self._consumer = consumer(self._settings, "sightline-lookup", **_KEYS)
        self._consumer.assign([confluent_kafka.TopicPartition(*partition, offset)])

    def _read_to(self, partition: TopicPartition, wanted: int) -> ConsumedRecord | None:
        """The first record at or behind `wanted`; None where there is none any more."""
        assert self._consumer is not None
        end_s = time.monotonic() + self._timeout_s
        while time.monotonic() < end_s and not self._closed.is_set():
            message: Any = self._consumer.poll(POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                fault = fault_of(error)
                if fault.kind in _NOT_THERE:
                    return None
                log.warning("a record cannot be read again yet", partition=str(partition), error=fault.text)
            elif message.offset() >= wanted:
                return consumed_record(message)
        raise Unavailable("Kafka", str(partition), f"the record at {wanted} could not be read again in time")
