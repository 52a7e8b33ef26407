"""Kafka clients suited to frames: queues bounded in bytes, no compression, nothing committed by itself.

Every key can be overruled from the settings: `[kafka.client]`, `[kafka.producer]`, `[kafka.consumer]`, `[kafka.admin]`.
Figures behind the defaults: docs/decisions.md.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import confluent_kafka
from confluent_kafka.admin import AdminClient

from infra import logs, metrics
from infra.local.state import read_state
from infra.settings import KIB, MIB, Settings, home
from schemas.errors import Busy, Unavailable
from schemas.headers import Header

log = logs.get(__name__)

Message = confluent_kafka.Message
OnDelivery = Callable[[confluent_kafka.KafkaError | None, Message], None]
Keys = dict[str, Any]

DEFAULT_BOOTSTRAP = "127.0.0.1:9092"


def bootstrap(settings: Settings) -> str:
    """The configured brokers, else the local ones that are up, else Kafka's usual address."""
    if settings.kafka.bootstrap_servers:
        return settings.kafka.bootstrap_servers
    state = read_state(home())
    return (state.bootstrap_servers if state else "") or DEFAULT_BOOTSTRAP


def producer_config(settings: Settings, **extra: Any) -> Keys:
    """Idempotent, acks=all: an acknowledged frame is on disk on every in-sync replica."""
    return {
        **_client(settings),
        "enable.idempotence": True,
        "acks": "all",
        # A broker takes any first sequence of a partition it has just become leader of (KAFKA-15591): with two requests
        # in flight the first may be refused and the second written, and librdkafka then reports the first as written.
        "max.in.flight.requests.per.connection": 1,
        "compression.type": "none",
        "linger.ms": 2,
        "message.max.bytes": settings.topics.max_frame_bytes + 2 * MIB,
        "batch.size": 1_000_000,
        # Publisher bounds the bytes; librdkafka gives room back a little after its report, and must not be full first.
        "queue.buffering.max.kbytes": 2 * settings.kafka.max_producer_queue_bytes // KIB,
        "queue.buffering.max.messages": 100_000,
        "delivery.timeout.ms": 120_000,
        **settings.kafka.producer,
        **extra,
    }


def consumer_config(settings: Settings, group: str, **extra: Any) -> Keys:
    """Manual commits; at most `max_fetch_queue_bytes` prefetched (librdkafka: 64 MiB and 100,000 records)."""
    return {
        **_client(settings),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "queued.min.messages": 100,
        "queued.max.messages.kbytes": settings.kafka.max_fetch_queue_bytes // KIB,
        "fetch.max.bytes": max(
            settings.kafka.max_fetch_queue_bytes // 2,
            settings.topics.max_frame_bytes + MIB,
        ),
        "max.partition.fetch.bytes": 4 * MIB,
        "receive.message.max.bytes": 128 * MIB,
        "fetch.queue.backoff.ms": 20,
        "fetch.wait.max.ms": 100,
        **settings.kafka.consumer,
        **extra,
    }


def admin(settings: Settings) -> AdminClient:
    return AdminClient({**_client(settings), **settings.kafka.admin})


def consumer(settings: Settings, group: str, **extra: Any) -> confluent_kafka.Consumer:
    return confluent_kafka.Consumer(consumer_config(settings, group, **extra))


def require_kafka(settings: Settings) -> None:
    """Raises Unavailable, one sentence with the address and what to do, when no broker answers in time."""
    _topics(settings)


def require_topics(settings: Settings, *topics: str) -> None:
    """Raises Unavailable when one of the topics is missing; call after `require_kafka`."""
    found = _topics(settings)
    missing = [topic for topic in topics if topic not in found]
    if missing:
        raise Unavailable(
            "Kafka",
            bootstrap(settings),
            f"it has no topic {', '.join(missing)}. Create them with `sightline topics create`",
        )


def partitions_of(settings: Settings, topic: str) -> int:
    """How many partitions the topic has; 0 when there is no such topic."""
    found = _topics(settings).get(topic)
    return len(found.partitions) if found is not None else 0


def _topics(settings: Settings) -> dict[str, Any]:
    try:
        return admin(settings).list_topics(timeout=settings.kafka.start_timeout_ms / 1000).topics
    except confluent_kafka.KafkaException as error:
        raise Unavailable(
            "Kafka",
            bootstrap(settings),
            f"{error.args[0].str()}. Start one with `sightline up`, or set SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS to yours",
        ) from error


def is_fatal(error: confluent_kafka.KafkaError) -> bool:
    """The client will never work again. A consumer's messages tell it by a code, not by the flag."""
    return error.fatal() or error.code() == confluent_kafka.KafkaError._FATAL


class Publisher:
    """A producer that any thread may use; delivery reports are served from a thread of its own.

    Bytes in flight are bounded: `send` raises Busy when the queue is full, `send_wait` waits for room.
    A report with an error means that the record is NOT written; the caller decides what follows.
    """

    def __init__(self, settings: Settings, **extra: Any) -> None:
        self._max_bytes = settings.kafka.max_producer_queue_bytes
        self._producer = confluent_kafka.Producer(producer_config(settings, **extra, error_cb=self._on_error))
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
        _on_client_error(error)


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


def _client(settings: Settings) -> Keys:
    return {
        "bootstrap.servers": bootstrap(settings),
        "client.id": "sightline",
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 2_000,
        "topic.metadata.refresh.interval.ms": 30_000,
        "error_cb": _on_client_error,
        "logger": _LIBRARY_LOG,
        **settings.kafka.client,
    }


def _on_client_error(error: confluent_kafka.KafkaError) -> None:
    log.warning("kafka client error", error=error.str(), fatal=is_fatal(error))


class _LibraryLog:
    """librdkafka's own lines as log events; it reports every refused connection, which `error_cb` sums up."""

    def log(self, level: int, text: str, *args: object) -> None:
        log.debug("librdkafka", line=text % args if args else text)


_LIBRARY_LOG = _LibraryLog()
