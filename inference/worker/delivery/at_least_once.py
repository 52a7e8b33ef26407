"""At least once, the default: labels through the idempotent producer, offsets in a commit of their own behind them."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace

from inference.device.work import Work
from inference.worker.delivery.base import STAGE, WAIT_STEP_S
from inference.worker.group.work_in_flight import WorkInFlight
from infra.kafka.consumer import CommitReport, GroupConsumer
from infra.kafka.errors import KafkaFailure
from infra.kafka.publisher import Publisher
from infra.kafka.sender import DeliveryReport, OnDelivery, OutRecord, send_wait
from infra.process import logs, metrics
from infra.process.lifecycle import Deadline, Stop
from schemas.errors import Stalled

log = logs.get(__name__)


class AtLeastOnce:
    """A `Delivery`. A batch is finished once the broker has acknowledged all of its records.

    `commit_reports` are the answers to `commit_soon`, which the consumer's poll appends. `after_delivery` is
    called with each finished piece of work; its Stalled ends the worker.
    """

    def __init__(
        self,
        publisher: Publisher,
        consumer: GroupConsumer,
        commit_reports: deque[CommitReport],
        in_flight: WorkInFlight,
        after_delivery: Callable[[Work], None],
        stop: Stop,
        commit_interval_ms: int,
    ) -> None:
        self._publisher, self._consumer, self._commit_reports = publisher, consumer, commit_reports
        self._in_flight, self._after_delivery, self._stop = in_flight, after_delivery, stop
        self._commit_interval_s = commit_interval_ms / 1000
        self._last_commit_s = 0.0
        self._is_committing = False
        self._delivered: deque[Work] = deque()
        self._lock = threading.Lock()

    def release(self, work: Work, records: list[OutRecord]) -> None:
        acknowledged = _Acknowledgements(len(records), lambda: self._delivered.append(work), self._fail, self._lock)
        if not records:
            self._delivered.append(work)
        for record in records:
            self._send(record, acknowledged)

    def tick(self, now_s: float) -> None:
        if self._publisher.fatal:
            raise Stalled(f"the Kafka producer cannot go on: {self._publisher.fatal}")
        self._read_commit_reports()
        self._finish_delivered()
        if not self._is_committing and now_s - self._last_commit_s >= self._commit_interval_s:
            self._last_commit_s = now_s
            self._commit_soon()

    def finish(self, awaited: Collection[Work], deadline: Deadline) -> None:
        missing = set(awaited)
        try:
            while missing and not deadline.expired():
                missing -= self._finish_delivered()
                if missing:
                    time.sleep(WAIT_STEP_S)
            if missing:
                log.warning("labels not delivered in time, the next owner makes them again", batches=len(missing))
        finally:
            # A waiting commit gets no answer inside a rebalance callback (librdkafka 2.16). One that is not waited for
            # reaches the coordinator before this member gives the partitions up.
            self._commit_soon()

    def close(self, deadline: Deadline) -> None:
        left = self._publisher.close(deadline.remaining_s() / 2)
        if left:
            log.warning("records without a delivery report at the stop", records=left)
        try:
            self._finish_delivered()
        finally:
            self._commit_now(Deadline(deadline.remaining_s() / 2))

    def _send(self, record: OutRecord, acknowledged: "_Acknowledgements") -> None:
        def delivered(report: DeliveryReport) -> None:
            if record.on_delivery is not None:
                record.on_delivery(report)
            acknowledged.add(report)

        # What is not sent because the process stops is not committed either: the next owner makes it again.
        send_wait(self._publisher, replace(record, on_delivery=delivered), self._stop.is_set)

    def _finish_delivered(self) -> set[Work]:
        """Finish everything that was delivered, and return it.

        When `after_delivery` ends the worker over one piece, the others are finished all the same: Stalled comes last.
        """
        delivered = set[Work]()
        stalled: Stalled | None = None
        while self._delivered:
            work = self._delivered.popleft()
            delivered.add(work)
            try:
                if self._in_flight.finish_work(work):
                    self._after_delivery(work)
            except Stalled as error:
                stalled = stalled or error
        if stalled is not None:
            raise stalled
        return delivered

    def _read_commit_reports(self) -> None:
        while self._commit_reports:
            report = self._commit_reports.popleft()
            self._is_committing = False
            if report.fault is not None:
                metrics.COMMIT_FAILURES.labels(STAGE, report.fault.word).inc()
                log.warning("offsets not committed, trying again", error=str(report.fault))
            self._in_flight.committed(report.stored)

    def _commit_soon(self) -> None:
        offsets = self._in_flight.to_commit()
        if not offsets:
            return
        self._is_committing = True
        try:
            self._consumer.commit_soon(offsets)
        except KafkaFailure as error:
            self._is_committing = False
            metrics.COMMIT_FAILURES.labels(STAGE, error.fault.word).inc()
            log.warning("offsets not committed, trying again", error=str(error))

    def _commit_now(self, deadline: Deadline) -> None:
        self._read_commit_reports()
        offsets = self._in_flight.to_commit()
        if not offsets:
            return
        failure = self._consumer.commit_within(offsets, deadline)
        if failure is not None:
            metrics.COMMIT_FAILURES.labels(STAGE, metrics.UNCONFIRMED).inc()
            log.warning("offsets not committed, their frames are read again", error=failure)
        else:
            self._in_flight.committed(offsets)

    def _fail(self, report: DeliveryReport) -> None:
        self._stop.set(
            Stalled(f"Kafka did not take a record for {report.topic}: {report.fault}; nothing is committed past it")
        )


class _Acknowledgements:
    """Counts the delivery reports of one piece of work; they may come from two threads."""

    def __init__(
        self,
        expected: int,
        on_all: Callable[[], None],
        on_failure: OnDelivery,
        lock: threading.Lock,
    ) -> None:
        self._left, self._on_all, self._on_failure, self._lock = expected, on_all, on_failure, lock

    def add(self, report: DeliveryReport) -> None:
        if report.fault is not None:
            self._on_failure(report)
            return
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._on_all()
