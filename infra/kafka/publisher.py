"""The producer of every part: any thread may send, bytes in flight are bounded, each record's end is told."""

import threading
from dataclasses import dataclass
from typing import Any

import confluent_kafka

from infra.kafka.clients import Message, OnDelivery, is_fatal, new_client, on_client_error, producer_config
from infra.process import logs, metrics
from infra.settings import KIB, Settings
from schemas.errors import Busy
from schemas.headers import Header

log = logs.get(__name__)


class Publisher:
    """A producer that any thread may use; delivery reports are served from a thread of its own.

    Bytes in flight are bounded: `send` raises Busy when the queue is full, `send_wait` waits for room.
    A report with an error means that the record is NOT written; the caller decides what follows.
    """

    def __init__(self, settings: Settings, **extra: Any) -> None:
        self._max_bytes = settings.kafka.max_producer_queue_bytes
        keys = producer_config(settings, **extra, error_cb=self._on_error)
        self._producer = new_client(confluent_kafka.Producer, keys, "kafka.client or kafka.producer")
        self.max_record_bytes = int(keys["message.max.bytes"])
        self._room = threading.Condition()
        self._bytes = 0
        self._closing = threading.Event()
        self.fatal: str | None = None
        metrics.PRODUCER_QUEUE_BYTES.set_function(self.queued_bytes)
        self._poller = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._poller.start()

    def send(
        self,
        topic: str,
        key: bytes | str | None,
        value: bytes | None,
        *,
        headers: list[Header] | None = None,
        partition: int = -1,
        timestamp_ms: int = 0,
        on_delivery: OnDelivery | None = None,
    ) -> None:
        """Queue one record; returning does not mean that it was written, `on_delivery` tells. Raises Busy when full."""
        record = _Record(self, topic, key, value, headers or [], partition, timestamp_ms, on_delivery)
        self._reserve(record.size)
        try:
            self.produce(record)
        except BufferError:
            self.release(record.size)
            raise Busy(0.05, "the producer's queue is full") from None
        except BaseException:
            self.release(record.size)
            raise

    def produce(self, record: "_Record") -> None:
        """Raises BufferError when the client's own queue is full."""
        self._producer.produce(
            record.topic,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            partition=record.partition,
            timestamp=record.timestamp_ms,
            on_delivery=record.delivered,
        )

    def wait_for_room(self, size: int, timeout_s: float) -> bool:
        """Wait until a record of that size would be taken; False when the time is over."""
        with self._room:
            return self._room.wait_for(lambda: self._fits(size + KIB), timeout_s)

    def queued_bytes(self) -> int:
        return self._bytes

    def flush(self, timeout_s: float) -> int:
        """Wait for all reports; how many records are still without one when the time is over."""
        return int(self._producer.flush(timeout_s))

    def close(self, timeout_s: float = 5.0) -> int:
        """Flush, then stop the thread; how many records stayed without a report."""
        left = self.flush(timeout_s)
        self._closing.set()
        self._poller.join(1.0)
        return left

    def _fits(self, size: int) -> bool:
        return self._bytes == 0 or self._bytes + size <= self._max_bytes

    def _reserve(self, size: int) -> None:
        with self._room:
            if not self._fits(size):
                raise Busy(0.05, "the producer's queue is full")
            self._bytes += size

    def release(self, size: int) -> None:
        """A record of that size is no longer on its way."""
        with self._room:
            self._bytes -= size
            self._room.notify_all()

    def _poll(self) -> None:
        try:
            while not self._closing.is_set():
                self._producer.poll(0.1)
        except BaseException as error:
            # Without reports nothing would be acknowledged any more: as good as a client that gave up.
            self.fatal = f"its delivery reports are not served: {error!r}"
            raise

    def _on_error(self, error: confluent_kafka.KafkaError) -> None:
        if is_fatal(error):
            self.fatal = error.str()
        on_client_error(error)


@dataclass(slots=True)
class _Record:
    """One record on its way. Nothing in it refers back to it: it and its bytes go with its report, not with some later
    run of the cycle collector, which for what lived through an outage is minutes away.
    """

    publisher: Publisher
    topic: str
    key: bytes | str | None
    value: bytes | None
    headers: list[Header]
    partition: int
    timestamp_ms: int
    on_delivery: OnDelivery | None

    @property
    def size(self) -> int:
        return len(self.value or b"") + KIB

    def delivered(self, error: confluent_kafka.KafkaError | None, message: Message) -> None:
        if error is None and message.offset() is None:
            # What librdkafka makes of a record refused as out of sequence (KAFKA-15591): "written", without
            # an offset, and not in the log. Sent again it may come late or twice; else it would be lost.
            log.warning(
                "acknowledged without an offset, sending again", topic=self.topic, partition=message.partition()
            )
            try:
                self.publisher.produce(self)
                return
            except BufferError:
                error = confluent_kafka.KafkaError(confluent_kafka.KafkaError._QUEUE_FULL)
        self.publisher.release(self.size)
        if self.on_delivery is not None:
            self.on_delivery(error, message)
