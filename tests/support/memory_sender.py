"""A `Sender` that keeps its records in memory. It passes the contract suite of tests/support/sender_contract.py."""

from collections import Counter
from dataclasses import dataclass, field

from infra.kafka.errors import FaultKind, KafkaFailure, KafkaFault
from infra.kafka.sender import DeliveryReport, OutRecord
from schemas.errors import Busy

TOO_LARGE = KafkaFault(FaultKind.TOO_LARGE, "MSG_SIZE_TOO_LARGE", "Broker: Message size too large")
UNKNOWN_TOPIC = KafkaFault(FaultKind.GONE, "_UNKNOWN_TOPIC", "Local: Unknown topic")
INVALID = KafkaFault(FaultKind.OTHER, "_INVALID_ARG", "Local: Invalid argument or configuration")
FENCED = KafkaFault(FaultKind.FATAL, "_FATAL", "Local: Fatal error")


@dataclass
class MemorySender:
    """`records` are those that were taken. A record is in flight until `report` or `flush` answers it.

    The next `busy` calls raise Busy. `refusals` has an entry for each of the next calls: None takes the record.
    The newest `unanswered` records get no answer from `flush`.
    """

    busy: int = 0
    refusals: list[KafkaFault | None] = field(default_factory=list)
    unanswered: int = 0
    fatal: str | None = None
    max_record_bytes: int = 9_000_000
    max_queue_bytes: int = 64 << 20
    records: list[OutRecord] = field(default_factory=list)
    closed: bool = False
    _in_flight: list[OutRecord] = field(default_factory=list)
    _written: Counter[tuple[str, int]] = field(default_factory=Counter)

    def send(self, record: OutRecord) -> None:
        if self.busy or not self.wait_for_room(record.size_bytes, 0.0):
            self.busy = max(0, self.busy - 1)
            raise Busy(0.0)
        refusal = self.refusals.pop(0) if self.refusals else None
        if len(record.value or b"") > self.max_record_bytes:
            refusal = TOO_LARGE
        if refusal is not None:
            raise KafkaFailure(refusal)
        self.records.append(record)
        self._in_flight.append(record)

    def wait_for_room(self, size_bytes: int, timeout_s: float) -> bool:
        """Never waits: the thread that would wait is the one that frees room by `report` or `flush`."""
        queued = sum(record.size_bytes for record in self._in_flight)
        return not queued or queued + size_bytes <= self.max_queue_bytes

    def flush(self, timeout_s: float) -> int:
        """Answer all records but the newest `unanswered`."""
        for record in self._in_flight[: len(self._in_flight) - self.unanswered]:
            self.report(record)
        return len(self._in_flight)

    def close(self, timeout_s: float = 5.0) -> int:
        self.closed = True
        return self.flush(timeout_s)

    def report(self, record: OutRecord, fault: KafkaFault | None = None) -> None:
        """Answer one record that is in flight: written, or not because of `fault`."""
        self._in_flight = [other for other in self._in_flight if other is not record]
        place = record.topic, max(0, record.partition)
        offset = -1 if fault else self._written[place]
        self._written[place] += fault is None
        if record.on_delivery is not None:
            record.on_delivery(DeliveryReport(*place, offset, fault))
