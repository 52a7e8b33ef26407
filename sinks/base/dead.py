"""Labels that a sink can never take go to `labels.dead`, as they are, with the reason in their headers."""

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


class Burial:
    """One record on its way to `labels.dead`."""

    def __init__(self, is_without_value: bool) -> None:
        self.is_without_value = is_without_value
        self.is_acknowledged = False
        self.fault: KafkaFault | None = None


class Refused(Protocol):
    """What is used of a batch's entry."""

    @property
    def record(self) -> ConsumedRecord: ...
    @property
    def bad(self) -> BadLabel | None: ...

    burial: Burial | None


class DeadLabels:
    """At least once: a sink that is killed between its dead letters and its commit writes them again."""

    def __init__(self, sender: Sender, topic: str, stage: str) -> None:
        self._sender, self._topic, self._stage = sender, topic, stage
        self._reported = threading.Condition()

    def bury(self, refused: Collection[Refused], deadline: Deadline) -> None:
        """Returns when every in-sync replica has them all. Raises Busy when that takes longer; call it again then.

        What is on its way already is not sent a second time, unless it failed.
        """
        for entry in refused:
            while entry.burial is None or entry.burial.fault is not None:
                entry.burial = self._send(entry, deadline)
        with self._reported:
            if self._reported.wait_for(lambda: all(_is_settled(entry) for entry in refused), deadline.remaining_s()):
                failed = next((entry.burial.fault for entry in refused if entry.burial and entry.burial.fault), None)
                if failed is None:
                    return
                raise Busy(AGAIN_S, f"{self._topic} does not take a dead letter: {failed}")
        raise Busy(AGAIN_S, f"{self._topic} does not acknowledge dead letters")

    def _send(self, entry: Refused, deadline: Deadline) -> Burial:
        """Without its value where no broker, or no client, takes a record of that size."""
        last = entry.burial
        burial = Burial(last is not None and last.fault is not None and last.fault.kind is FaultKind.TOO_LARGE)
        record = self._letter(entry, burial)
        try:
            if not send_wait(self._sender, record, deadline.expired):
                raise Busy(AGAIN_S, "the producer's queue is full")
        except KafkaFailure as failure:
            if burial.is_without_value or failure.fault.kind is not FaultKind.TOO_LARGE:
                raise
            burial.fault = failure.fault
        return burial

    def _letter(self, entry: Refused, burial: Burial) -> OutRecord:
        record, bad = entry.record, entry.bad
        assert bad is not None
        message = bad.detail or bad.reason
        if burial.is_without_value:
            message = f"value of {len(record.value or b'')} bytes left out, {self._topic} takes less: {message}"
        failure = Failure(record.coordinates, record.timestamp_ms, self._stage, bad.reason, message, 0)

        def delivered(report: DeliveryReport) -> None:
            with self._reported:
                burial.fault, burial.is_acknowledged = report.fault, report.fault is None
                self._reported.notify_all()

        return OutRecord(
            self._topic,
            record.key,
            None if burial.is_without_value else record.value,
            failure_headers(record.headers, failure),
            on_delivery=delivered,
        )


def _is_settled(entry: Refused) -> bool:
    return entry.burial is not None and (entry.burial.is_acknowledged or entry.burial.fault is not None)
