"""Exactly once: labels and offsets in one Kafka transaction (KIP-447).

No transaction is open while the model runs: it holds only what is finished, so it is short. It is settled in a thread
of its own, so that the poll thread reads on; no rebalance passes before its end is known.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from inference.device.work import Work
from inference.worker.delivery.at_least_once import POLL_S, Progress
from inference.worker.group.ownership import Ownership
from infra.kafka.sender import OutRecord
from infra.kafka.transaction import Transaction, TransactionalProducer
from infra.process import logs
from infra.process.lifecycle import Deadline, Start, Stop, in_thread

log = logs.get(__name__)

MAX_FRAMES = 5_000
MAX_READY_BYTES = 32 * 1024 * 1024
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.1, 5.0


class Transactional:
    """A `Delivery`: finished work waits, every `transaction_ms` all of it becomes visible at once."""

    def __init__(
        self,
        producer: TransactionalProducer,
        group_metadata: Callable[[], Any],
        ownership: Ownership,
        progress: Progress,
        stop: Stop,
        transaction_ms: int,
        start: Start = in_thread,
    ) -> None:
        self._producer, self._group_metadata, self._start_thread = producer, group_metadata, start
        self._ownership, self._progress, self._stop = ownership, progress, stop
        self._interval_s = transaction_ms / 1000
        self._next_s = 0.0
        self._aborts_in_a_row = 0
        self._changed = threading.Condition()
        self._ready: deque[tuple[Work, list[OutRecord]]] = deque()
        self._ready_bytes = self._ready_frames = 0
        self._open: tuple[Transaction, list[Work]] | None = None
        self._has_failed = False
        self.rewind: Callable[[], None] = lambda: None

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
        if self._open is None and self._ready and (now_s >= self._next_s or self._ready_frames >= MAX_FRAMES):
            self._next_s = now_s + self._interval_s
            self._begin(self._stop.is_set)

    def finish(self, awaited: Collection[Work], deadline: Deadline) -> None:
        """Returns with no transaction open. One whose end cannot be learnt in time ends the process: Stalled."""
        self._end_open(deadline)
        while (missing := self._missing(awaited)) and not deadline.expired():
            time.sleep(POLL_S)
        if missing:
            log.warning("labels not ready in time, the next owner makes them", batches=missing)
        self._begin(deadline.expired)
        self._end_open(deadline)

    def close(self, deadline: Deadline) -> None:
        self.finish((), Deadline(deadline.remaining_s() / 3))  # giving up takes its time, too

    def _begin(self, give_up: Callable[[], bool]) -> None:
        """What goes in is ours at this moment, and the group's metadata are of this moment: if ownership is lost
        later, the broker refuses the offsets of that epoch, and with them the labels.

        After a transaction that failed for good there is no other: its work counts as done, so that a later one would
        commit offsets of labels that were never written.
        """
        taken = [] if self._has_failed else self._take()
        if not taken:
            return
        for work, _ in taken:
            self._ownership.done(work)
        records = [record for _, records in taken for record in records]
        offsets = self._ownership.to_commit()
        transaction = Transaction(self._producer, records, offsets, self._group_metadata(), give_up)
        self._open = transaction, [work for work, _ in taken]
        self._start_thread(transaction.run)

    def _end_open(self, deadline: Deadline) -> None:
        if self._open is not None:
            self._open[0].give_up = deadline.expired
            self._open[0].ended.wait()  # it gives up by itself, an answer to its commit it must have
            self._conclude()

    def _conclude(self) -> None:
        assert self._open is not None
        (transaction, works), self._open = self._open, None
        if transaction.error is not None:
            self._has_failed = True
            raise transaction.error
        if transaction.is_aborted:
            self._aborts_in_a_row += 1
            self._clear()
            self.rewind()  # the consumer does not go back by itself
            return
        self._aborts_in_a_row = 0
        if self._ownership.committed(transaction.offsets):
            self._progress.made()
        for work in works:
            self._progress.settled(work)

    def _back_off_s(self) -> float:
        if not self._aborts_in_a_row:
            return 0.0
        return float(min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2**self._aborts_in_a_row))

    def _missing(self, awaited: Collection[Work]) -> int:
        with self._changed:
            ready = {work for work, _ in self._ready}
        return sum(work not in ready and self._ownership.is_current(work) for work in awaited)

    def _take(self) -> list[tuple[Work, list[OutRecord]]]:
        with self._changed:
            taken = list(self._ready)
            self._clear()
        return [(work, records) for work, records in taken if self._ownership.is_current(work)]

    def _clear(self) -> None:
        with self._changed:
            self._ready.clear()
            self._ready_bytes = self._ready_frames = 0
            self._changed.notify_all()


def _size_bytes(records: list[OutRecord]) -> int:
    return sum(len(record.value or b"") + 256 for record in records)
