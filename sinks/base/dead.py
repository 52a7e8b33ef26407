"""Sends labels that a sink can never store to `labels.dead`, unchanged, with the reason in the headers."""

import threading
from collections.abc import Collection
from typing import Protocol

from infra.kafka.errors import FaultKind, KafkaFailure, KafkaFault
from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import DeliveryReport, OutRecord, Sender, send_wait
from infra.process import logs
from infra.process.lifecycle import Deadline
from schemas.errors import BadLabel, Busy
from schemas.headers import Failure, failure_headers

log = logs.get(__name__)

AGAIN_S = 1.0


class DeadDelivery:
    """One record that was sent to `labels.dead`, and its delivery report once there is one."""

    def __init__(self, is_without_value: bool) -> None:
        self.is_without_value = is_without_value
        self.is_acknowledged = False
        self.fault: KafkaFault | None = None


class Refused(Protocol):
    """The part of a batch's entry that is used here."""

    @property
    def record(self) -> ConsumedRecord: ...
    @property
    def bad(self) -> BadLabel | None: ...

    delivery: DeadDelivery | None


class DeadLabels:
    """Sends dead letters at least once: a sink that is killed between sending them and its commit sends them again."""

    def __init__(self, sender: Sender, topic: str, stage: str) -> None:
        self._sender, self._topic, self._stage = sender, topic, stage
        self._reported = threading.Condition()

    def send(self, refused: Collection[Refused], deadline: Deadline) -> None:
        """Send them and return when the broker has acknowledged all, so that every in-sync replica has them.

        Raises Busy when the deadline expires before that or a delivery fails; call it again with the same entries. A
        record that is already sent is sent again only if its delivery failed.
        """
        for entry in refused:
            while entry.delivery is None or entry.delivery.fault is not None:
                entry.delivery = self._send(entry, deadline)
        with self._reported:
            if self._reported.wait_for(lambda: all(_is_settled(entry) for entry in refused), deadline.remaining_s()):
                failed = next(
                    (entry.delivery.fault for entry in refused if entry.delivery and entry.delivery.fault), None
                )
                if failed is None:
                    return
                raise Busy(AGAIN_S, f"a dead letter could not be written to {self._topic}: {failed}")
        raise Busy(AGAIN_S, f"the broker does not acknowledge dead letters on {self._topic}")

    def _send(self, entry: Refused, deadline: Deadline) -> DeadDelivery:
        """Send one record; without its value if the client or the broker has rejected it as too large."""
        last = entry.delivery
        delivery = DeadDelivery(last is not None and last.fault is not None and last.fault.kind is FaultKind.TOO_LARGE)
        record = self._dead_record(entry, delivery)
        try:
            if not send_wait(self._sender, record, deadline.expired):
                raise Busy(AGAIN_S, "the producer's queue is full")
        except KafkaFailure as failure:
            if delivery.is_without_value or failure.fault.kind is not FaultKind.TOO_LARGE:
                raise
            delivery.fault = failure.fault
        return delivery

    def _dead_record(self, entry: Refused, delivery: DeadDelivery) -> OutRecord:
        record, bad = entry.record, entry.bad
        assert bad is not None
        message = bad.detail or bad.reason
        if delivery.is_without_value:
            message = f"value of {len(record.value or b'')} bytes left out, too large for {self._topic}: {message}"
        failure = Failure(record.coordinates, record.timestamp_ms, self._stage, bad.reason, message, 0)

        def delivered(report: DeliveryReport) -> None:
            with self._reported:
                delivery.fault, delivery.is_acknowledged = report.fault, report.fault is None
                self._reported.notify_all()

        return OutRecord(
            self._topic,
            record.key,
            None if delivery.is_without_value else record.value,
            failure_headers(record.headers, failure),
            on_delivery=delivered,
        )


def _is_settled(entry: Refused) -> bool:
    return entry.delivery is not None and (entry.delivery.is_acknowledged or entry.delivery.fault is not None)
