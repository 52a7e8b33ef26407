"""Sending of records, the same for all parts: the record, the interface of a sender, and waiting for room."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import confluent_kafka

from infra.kafka.errors import KafkaFault, fault_of
from infra.settings import KIB
from schemas.errors import Busy, Stalled
from schemas.headers import Header

# The longest single wait for room; after each the sender checks whether to give up.
ROOM_WAIT_S = 0.25


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """The result of one sent record. Without a `fault` every in-sync replica has it; with one it is NOT written.

    `partition` and `offset` are -1 where the record has none.
    """

    topic: str
    partition: int
    offset: int
    fault: KafkaFault | None = None


OnDelivery = Callable[[DeliveryReport], None]


def delivery_report(error: confluent_kafka.KafkaError | None, message: Any) -> DeliveryReport:
    """The report of confluent's producer, which gives an error or None, and the message."""
    partition, offset = message.partition(), message.offset()
    return DeliveryReport(
        message.topic() or "",
        -1 if partition is None else partition,
        -1 if offset is None else offset,
        None if error is None else fault_of(error),
    )


@dataclass(frozen=True, slots=True)
class OutRecord:
    """A record to be sent. `partition` -1: by the key. `timestamp_ms` 0: the time of sending.

    `on_delivery` is called once, in a thread of the client, when it is known what became of the record.
    """

    topic: str
    key: bytes | str | None
    value: bytes | None
    headers: list[Header] = field(default_factory=list)
    partition: int = -1
    timestamp_ms: int = 0
    on_delivery: OnDelivery | None = None

    @property
    def size_bytes(self) -> int:
        """The size with which the producer's queue counts the record."""
        return len(self.value or b"") + KIB


class Sender(Protocol):
    """Takes records to be written; `infra.kafka.publisher.Publisher` is the real one. For any thread."""

    @property
    def max_record_bytes(self) -> int:
        """No record may be larger, headers and key included."""

    @property
    def fatal(self) -> str | None:
        """Why no record will ever be written again; None while all is well."""

    def send(self, record: OutRecord) -> None:
        """Take one record; returning does not mean that it was written, its `on_delivery` tells.

        Raises Busy when there is no room now, KafkaFailure when the client refuses this record for good.
        """

    def wait_for_room(self, size_bytes: int, timeout_s: float) -> bool:
        """Wait until a record of that size would be taken; False when the time is over."""


class FlushableSender(Sender, Protocol):
    """A sender as its owner sees it, who can wait for the records in flight."""

    def flush(self, timeout_s: float) -> int:
        """Wait for all delivery reports; how many records are without one when the time is over."""

    def close(self, timeout_s: float = 5.0) -> int:
        """Flush, then send nothing any more; how many records stayed without a report."""


def send_wait(sender: Sender, record: OutRecord, give_up: Callable[[], bool] = lambda: False) -> bool:
    """Send the record, waiting for room as long as it takes; False when `give_up()` says so first.

    Raises Stalled when the sender will never write again, KafkaFailure when it refuses this record for good.
    """
    for _ in _attempts(sender, record):
        if give_up():
            return False
        sender.wait_for_room(record.size_bytes, ROOM_WAIT_S)
    return True


async def send_async(sender: Sender, record: OutRecord) -> None:
    """`send_wait` for the event loop, which it does not block. It gives up only when it is cancelled."""
    for wait_s in _attempts(sender, record):
        await asyncio.sleep(wait_s)


def _attempts(sender: Sender, record: OutRecord) -> Iterator[float]:
    """Yields how long to wait before each further attempt, until the record is taken."""
    while True:
        if sender.fatal is not None:
            raise Stalled(f"the Kafka producer cannot go on: {sender.fatal}")
        try:
            sender.send(record)
            return
        except Busy as busy:
            yield busy.retry_after_s
