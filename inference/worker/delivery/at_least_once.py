"""How outcomes leave the worker and offsets move: the interface, and at least once, which is the default.

The worker is the same for both ways. `release` is called by the thread that makes labels, everything else by the
poll thread: so offsets, ownership and rebalances never run at the same time.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

from inference.device.work import Work
from inference.worker.group.ownership import Ownership
from infra.kafka.consumer import CommitReport, GroupConsumer
from infra.kafka.errors import KafkaFailure
from infra.kafka.publisher import Publisher
from infra.kafka.sender import DeliveryReport, OnDelivery, OutRecord, send_wait
from infra.process import logs
from infra.process.lifecycle import Deadline, Stop
from schemas.errors import Stalled

log = logs.get(__name__)

SettledHook = Callable[[Work], None]
POLL_S = 0.005


class Delivery(Protocol):
    """All records of a piece of work are written, then its offset may move; never the other way round."""

    def release(self, work: Work, records: list[OutRecord]) -> None:
        """Take over whole work, in the order of its partition. Waits while too much is under way."""
        ...

    def tick(self, now_s: float) -> None:
        """Settle what is due. Raises Stalled when promises can no longer be kept."""
        ...

    def finish(self, awaited: Collection[Work], deadline: Deadline) -> None:
        """Before partitions are given up: settle and commit all that is awaited, as far as the deadline allows."""
        ...

    def close(self, deadline: Deadline) -> None: ...


class Progress:
    """When something was last committed: what the watchdog goes by. `settled` also feeds metrics and the cache."""

    def __init__(self, settled: SettledHook) -> None:
        self.settled = settled
        self.last_s = time.monotonic()

    def made(self) -> None:
        self.last_s = time.monotonic()


class AtLeastOnce:
    """Labels through the idempotent publisher; offsets in a commit of their own, behind the delivery reports."""

    def __init__(
        self,
        publisher: Publisher,
        consumer: GroupConsumer,
        ownership: Ownership,
        progress: Progress,
        stop: Stop,
        commit_interval_ms: int,
    ) -> None:
        self._publisher, self._consumer = publisher, consumer
        self._ownership, self._progress, self._stop = ownership, progress, stop
        self._commit_interval_s = commit_interval_ms / 1000
        self._last_commit_s = 0.0
        self._committing = False
        self._delivered: deque[Work] = deque()
        self._lock = threading.Lock()

    def release(self, work: Work, records: list[OutRecord]) -> None:
        receipt = _Receipt(len(records), lambda: self._delivered.append(work), self._fail, self._lock)
        if not records:
            self._delivered.append(work)
        for record in records:
            self._send(record, receipt)

    def tick(self, now_s: float) -> None:
        if self._publisher.fatal:
            raise Stalled(f"the Kafka producer cannot go on: {self._publisher.fatal}")
        self._settle()
        if not self._committing and now_s - self._last_commit_s >= self._commit_interval_s:
            self._last_commit_s = now_s
            self._commit_soon()

    def finish(self, awaited: Collection[Work], deadline: Deadline) -> None:
        open_work = set(awaited)
        try:
            while open_work and not deadline.expired():
                open_work -= self._settle()
                if open_work:
                    time.sleep(POLL_S)
            if open_work:
                log.warning("labels not delivered in time, the next owner makes them again", batches=len(open_work))
        finally:
            self._commit_now(deadline)

    def close(self, deadline: Deadline) -> None:
        left = self._publisher.close(deadline.remaining_s() / 2)
        if left:
            log.warning("records without a delivery report at the end", records=left)
        try:
            self._settle()
        finally:
            self._commit_now(Deadline(deadline.remaining_s() / 2))

    def on_commit(self, report: CommitReport) -> None:
        """The answer to a commit that was not waited for; told by the consumer's poll."""
        self._committing = False
        if report.fault is not None:
            log.warning("offsets not committed, trying again", error=str(report.fault))
        if self._ownership.committed(report.stored):
            self._progress.made()

    def _send(self, record: OutRecord, receipt: "_Receipt") -> None:
        def delivered(report: DeliveryReport) -> None:
            if record.on_delivery is not None:
                record.on_delivery(report)
            receipt.delivered(report)

        # What is not sent when the process stops is made again by the next owner.
        send_wait(self._publisher, replace(record, on_delivery=delivered), self._stop.is_set)

    def _settle(self) -> set[Work]:
        """What was delivered is done, all of it, also when the breaker opens over one: then Stalled, at the end."""
        settled = set[Work]()
        stalled: Stalled | None = None
        while self._delivered:
            work = self._delivered.popleft()
            settled.add(work)
            try:
                if self._ownership.done(work):
                    self._progress.settled(work)
            except Stalled as error:
                stalled = stalled or error
        if stalled is not None:
            raise stalled
        return settled

    def _commit_soon(self) -> None:
        offsets = self._ownership.to_commit()
        if not offsets:
            return
        self._committing = True
        try:
            self._consumer.commit_soon(offsets)
        except KafkaFailure as error:
            self._committing = False
            log.warning("offsets not committed, trying again", error=str(error))

    def _commit_now(self, deadline: Deadline) -> None:
        offsets = self._ownership.to_commit()
        if not offsets:
            return
        failure = self._consumer.commit_within(offsets, deadline)
        if failure is not None:
            log.warning("offsets not committed, their frames come again", error=failure)
        elif self._ownership.committed(offsets):
            self._progress.made()

    def _fail(self, report: DeliveryReport) -> None:
        self._stop.set(
            Stalled(f"Kafka did not take a record for {report.topic}: {report.fault}; nothing is committed past it")
        )


class _Receipt:
    """Counts the delivery reports of one piece of work; they may come from two threads."""

    def __init__(
        self,
        expected: int,
        on_all: Callable[[], None],
        on_failure: OnDelivery,
        lock: threading.Lock,
    ) -> None:
        self._left, self._on_all, self._on_failure, self._lock = expected, on_all, on_failure, lock

    def delivered(self, report: DeliveryReport) -> None:
        if report.fault is not None:
            self._on_failure(report)
            return
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._on_all()
