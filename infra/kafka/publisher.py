"""The Kafka producer of every process: any thread may send, bytes in flight are bounded, every record is reported."""

import threading
from dataclasses import dataclass
from typing import Any

import confluent_kafka

from infra.kafka.clients import new_client, on_client_error, producer_config
from infra.kafka.errors import failure_of, is_fatal
from infra.kafka.sender import OutRecord, delivery_report
from infra.process import logs, metrics
from infra.settings import Settings
from schemas.errors import Busy

log = logs.get(__name__)

# `retry_after_s` of the Busy that is raised while the queue is full.
FULL_RETRY_S = 0.05


class Publisher:
    """A producer that any thread may use; delivery reports are served from a thread of its own.

    Bytes in flight are bounded: `send` raises Busy when the queue is full, `sender.send_wait` waits for room.
    """

    def __init__(self, settings: Settings, **extra: Any) -> None:
        self._max_bytes = settings.kafka.max_producer_queue_bytes
        keys = producer_config(settings, **extra, error_cb=self._on_error)
        self._producer = new_client(confluent_kafka.Producer, keys, "kafka.client or kafka.producer")
        self.max_record_bytes = int(keys["message.max.bytes"])
        self._room = threading.Condition()
        self._bytes = 0
        self._client_is_full = False
        self._closing = threading.Event()
        self.fatal: str | None = None
        metrics.PRODUCER_QUEUE_BYTES.set_function(self.queued_bytes)
        self._poller = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._poller.start()

    def send(self, record: OutRecord) -> None:
        """Queue one record; returning does not mean that it was written, its `on_delivery` tells.

        Raises Busy when the queue is full, KafkaFailure when the client refuses this record for good.
        """
        entry = _InFlight(self, record)
        self._reserve(record.size_bytes)
        try:
            self.produce(entry)
        except BufferError:
            self.release(record.size_bytes, client_is_full=True)
            raise Busy(FULL_RETRY_S, "the producer's queue is full") from None
        except confluent_kafka.KafkaException as error:
            self.release(record.size_bytes)
            raise failure_of(error) from error
        except BaseException:
            self.release(record.size_bytes)
            raise

    def produce(self, entry: "_InFlight") -> None:
        """Raises BufferError when the client's own queue is full."""
        record = entry.record
        self._producer.produce(
            record.topic,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            partition=record.partition,
            timestamp=record.timestamp_ms,
            on_delivery=entry.delivered,
        )

    def wait_for_room(self, size_bytes: int, timeout_s: float) -> bool:
        """Wait until a record of that size would be taken; False when the time is over."""
        with self._room:
            return self._room.wait_for(lambda: self._fits(size_bytes) and not self._client_is_full, timeout_s)

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
                raise Busy(FULL_RETRY_S, "the producer's queue is full")
            self._bytes += size

    def release(self, size: int, *, client_is_full: bool = False) -> None:
        """A record of that size is no longer in flight. A client that is full has no room until it reports a record."""
        with self._room:
            self._bytes -= size
            self._client_is_full = client_is_full
            self._room.notify_all()

    def _poll(self) -> None:
        try:
            while not self._closing.is_set():
                self._producer.poll(0.1)
        except BaseException as error:
            # Without delivery reports nothing is acknowledged any more, as with a client that gave up.
            self.fatal = f"its delivery reports are not served: {error!r}"
            raise

    def _on_error(self, error: confluent_kafka.KafkaError) -> None:
        if is_fatal(error):
            self.fatal = error.str()
        on_client_error(error)


@dataclass(slots=True)
class _InFlight:
    """One record until its report. Nothing in the record refers back to this object: it and its bytes are freed with
    the report, and not by a later run of the cycle collector, which is minutes away for what lived through an outage.
    """

    publisher: Publisher
    record: OutRecord

    def delivered(self, error: confluent_kafka.KafkaError | None, message: Any) -> None:
        if error is None and message.offset() is None:
            # What librdkafka makes of a record refused as out of sequence (KAFKA-15591): "written", without
            # an offset, and not in the log. Sent again it may come late or twice; else it would be lost.
            log.warning(
                "acknowledged without an offset, sending again",
                topic=self.record.topic,
                partition=message.partition(),
            )
            try:
                self.publisher.produce(self)
                return
            except BufferError:
                error = confluent_kafka.KafkaError(confluent_kafka.KafkaError._QUEUE_FULL)
        self.publisher.release(self.record.size_bytes)
        if self.record.on_delivery is not None:
            self.record.on_delivery(delivery_report(error, message))
