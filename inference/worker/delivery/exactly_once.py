"""Exactly once: labels and offsets in one Kafka transaction (KIP-447).

No transaction is open while the model runs: it holds only finished work, so it is short. It runs in a thread of its
own while the poll thread reads on; a rebalance waits until its outcome is known.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from inference.device.work import Work
from inference.worker.delivery.base import STAGE, WAIT_STEP_S
from inference.worker.group.work_in_flight import WorkInFlight
from infra.kafka.sender import OutRecord
from infra.kafka.topic_ids import TopicIds
from infra.kafka.transaction import Transaction, TransactionalProducer
from infra.process import logs, metrics
from infra.process.lifecycle import Deadline, Start, Stop, in_thread

log = logs.get(__name__)

MAX_FRAMES = 5_000
MAX_READY_BYTES = 32 * 1024 * 1024
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.1, 5.0


class ExactlyOnce:
    """A `Delivery`. Finished work waits; every `transaction_ms` all of it becomes visible at once.

    `after_delivery` is called with each committed piece of work; its Stalled ends the worker. `rewind` is called after
    an abort: it makes the consumer read again what is not committed.
    """

    def __init__(
        self,
        producer: TransactionalProducer,
        group_metadata: Callable[[], Any],
        in_flight: WorkInFlight,
        after_delivery: Callable[[Work], None],
        rewind: Callable[[], None],
        stop: Stop,
        transaction_ms: int,
        start: Start = in_thread,
        *,
        topic_ids: TopicIds | None = None,
    ) -> None:
        self._producer, self._group_metadata, self._start_thread = producer, group_metadata, start
        self._in_flight, self._after_delivery, self._rewind, self._stop = in_flight, after_delivery, rewind, stop
        self._interval_s, self._topic_ids = transaction_ms / 1000, topic_ids
        self._next_s = 0.0
        self._aborts_in_a_row = 0
        self._changed = threading.Condition()
        self._ready: deque[tuple[Work, list[OutRecord]]] = deque()
        self._ready_bytes = self._ready_frames = 0
        self._open: tuple[Transaction, list[Work]] | None = None
        self._has_failed = False

    def release(self, work: Work, records: list[OutRecord]) -> None:
        size = _size_bytes(records)
        with self._changed:
            while self._ready_bytes + size > MAX_READY_BYTES and self._ready and not self._stop.is_set():
                self._changed.wait(0.5)
            self._ready.append((work, records))
            self._ready_bytes += size
            self._ready_frames += work.frames

    def tick(self, now_s: float) -> None:
        if self._open is not None and self._open[0].ended.is_set():
            self._conclude()
            self._next_s = max(self._next_s, now_s + self._back_off_s())
        is_due = now_s >= self._next_s and (self._ready or self._in_flight.to_commit())
        if self._open is None and (is_due or self._ready_frames >= MAX_FRAMES):
            self._next_s = now_s + self._interval_s
            self._begin(self._stop.is_set)

    def finish(self, awaited: Collection[Work], deadline: Deadline) -> None:
        """Returns with no transaction open. Raises Stalled when the outcome of one is not known in time."""
        self._end_open(deadline)
        while (missing := self._missing(awaited)) and not deadline.expired():
            time.sleep(WAIT_STEP_S)
        if missing:
            log.warning("labels not ready in time, the next owner makes them again", batches=missing)
        self._begin(deadline.expired)
        self._end_open(deadline)

    def close(self, deadline: Deadline) -> None:
        self.finish((), Deadline(deadline.remaining_s() / 3))  # to give up a transaction takes time as well

    def _begin(self, give_up: Callable[[], bool]) -> None:
        """The work is owned and the group's metadata are valid at this moment. If ownership is lost later, the broker
        refuses the offsets of this group epoch, and with them the labels.

        After a transaction that failed for good no other begins: the work of the failed one counts as finished, so
        that the next would commit offsets of labels that were never written. One without labels commits where the
        reading of partitions begins, of which the group has committed nothing: a commit beside transactions could
        overtake one.
        """
        if self._has_failed:
            return
        taken = self._take()
        for work, _ in taken:
            self._in_flight.finish_work(work)
        records = [record for _, records in taken for record in records]
        offsets = self._in_flight.to_commit()
        if not taken and not offsets:
            return
        metadata = self._group_metadata()
        transaction = Transaction(self._producer, records, offsets, metadata, give_up, self._topic_ids)
        self._open = transaction, [work for work, _ in taken]
        self._start_thread(transaction.run)

    def _end_open(self, deadline: Deadline) -> None:
        if self._open is not None:
            self._open[0].give_up = deadline.expired
            self._open[0].ended.wait()  # no limit: it gives up by itself, and the outcome of a commit must be known
            self._conclude()

    def _conclude(self) -> None:
        assert self._open is not None
        (transaction, works), self._open = self._open, None
        if transaction.error is not None:
            self._has_failed = True
            metrics.COMMIT_FAILURES.labels(STAGE, metrics.UNCONFIRMED).inc()
            raise transaction.error
        if transaction.is_aborted:
            self._aborts_in_a_row += 1
            metrics.COMMIT_FAILURES.labels(STAGE, "aborted").inc()
            self._clear()
            self._rewind()
            return
        self._aborts_in_a_row = 0
        self._in_flight.committed(transaction.offsets)
        for work in works:
            self._after_delivery(work)

    def _back_off_s(self) -> float:
        if not self._aborts_in_a_row:
            return 0.0
        return float(min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2**self._aborts_in_a_row))

    def _missing(self, awaited: Collection[Work]) -> int:
        with self._changed:
            ready = {work for work, _ in self._ready}
        return sum(work not in ready and self._in_flight.is_current_work(work) for work in awaited)

    def _take(self) -> list[tuple[Work, list[OutRecord]]]:
        with self._changed:
            taken = list(self._ready)
            self._clear()
        return [(work, records) for work, records in taken if self._in_flight.is_current_work(work)]

    def _clear(self) -> None:
        with self._changed:
            self._ready.clear()
            self._ready_bytes = self._ready_frames = 0
            self._changed.notify_all()


def _size_bytes(records: list[OutRecord]) -> int:
    return sum(len(record.value or b"") + 256 for record in records)
