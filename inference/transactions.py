"""Exactly once: labels and offsets in one Kafka transaction (KIP-447), filled and ended in one go by the poll thread.

No transaction is open while the model runs or a rebalance is served: it holds only what is finished, so it is short,
and nothing has to be undone when partitions move.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from enum import Enum, auto
from typing import Any, Protocol

import confluent_kafka
from confluent_kafka import KafkaError

from inference.delivery import POLL_S, Progress, topic_partitions
from inference.labels_out import OutRecord
from inference.ownership import Ownership
from inference.work import Work
from infra import logs
from infra.lifecycle import Deadline, Stop
from schemas.errors import Stalled, Unavailable

log = logs.get(__name__)

# One try of a call; the same call is repeated as long as its error is retriable.
CALL_S = 1.0
PAUSE_S = 0.05
MAX_FRAMES = 5_000
MAX_READY_BYTES = 32 * 1024 * 1024
LONGEST_BACK_OFF_S = 5.0


class Verdict(Enum):
    AGAIN = auto()
    ABORT = auto()
    END = auto()


def verdict_on(error: KafkaError) -> Verdict:
    """What librdkafka's transactional API asks for: the same call again, an abort, or the end of this producer."""
    if error.fatal():
        return Verdict.END
    if error.txn_requires_abort():
        return Verdict.ABORT
    return Verdict.AGAIN if error.retriable() else Verdict.END


class TransactionalProducer(Protocol):
    """What is used of confluent_kafka.Producer."""

    def begin_transaction(self) -> None: ...
    def produce(self, topic: str, value: Any, key: Any, *, headers: Any, on_delivery: Any) -> None: ...
    def poll(self, timeout: float) -> int: ...
    def send_offsets_to_transaction(self, positions: list[Any], group_metadata: Any, timeout: float) -> None: ...
    def commit_transaction(self, timeout: float) -> None: ...
    def abort_transaction(self, timeout: float) -> None: ...


class _Aborted(Exception):
    pass


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
    ) -> None:
        self._producer, self._group_metadata = producer, group_metadata
        self._ownership, self._progress, self._stop = ownership, progress, stop
        self._interval_s = transaction_ms / 1000
        self._next_s = 0.0
        self._aborts_in_a_row = 0
        self._has_ended = False
        self._changed = threading.Condition()
        self._ready: deque[tuple[Work, list[OutRecord]]] = deque()
        self._ready_bytes = self._ready_frames = 0
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
        if not self._ready or (now_s < self._next_s and self._ready_frames < MAX_FRAMES):
            return
        committed = self._transact(self._stop.is_set)
        self._aborts_in_a_row = 0 if committed else self._aborts_in_a_row + 1
        pause_s = self._interval_s if committed else min(LONGEST_BACK_OFF_S, 0.1 * 2**self._aborts_in_a_row)
        self._next_s = now_s + pause_s

    def finish(self, awaited: Collection[Work], deadline: Deadline) -> None:
        """A transaction whose end cannot be learnt in time ends the process: Stalled, and the broker settles it."""
        while self._missing(awaited) and not deadline.expired():
            time.sleep(POLL_S)
        missing = self._missing(awaited)
        if missing:
            log.warning("labels not ready in time, the next owner makes them", batches=missing)
        if self._ready:
            self._transact(deadline.expired)

    def close(self, deadline: Deadline) -> None:
        if self._ready:
            self._transact(deadline.expired)

    def _missing(self, awaited: Collection[Work]) -> int:
        with self._changed:
            ready = {work for work, _ in self._ready}
        return sum(work not in ready for work in awaited)

    def _transact(self, give_up: Callable[[], bool]) -> bool:
        """False when it was aborted: then the worker reads again from what is committed. Raises Stalled, once.

        After that nothing is written any more: what was taken for the failed one is missing from the offsets, so
        a later one would make labels visible that no offset covers, and the next worker would make them again.
        """
        if self._has_ended:
            return False
        try:
            return self._one_transaction(give_up)
        except Stalled:
            self._has_ended = True
            raise

    def _one_transaction(self, give_up: Callable[[], bool]) -> bool:
        batch = self._take()
        if not batch:
            return True
        try:
            self._producer.begin_transaction()
            for _, records in batch:
                for record in records:
                    self._produce(record, give_up)
            for work, _ in batch:
                self._ownership.done(work)
            offsets = self._ownership.to_commit()
            # Read now: the epoch may have changed since the last poll without any callback.
            self._call(
                "send offsets",
                lambda: self._producer.send_offsets_to_transaction(
                    topic_partitions(offsets), self._group_metadata(), CALL_S
                ),
                give_up,
            )
            self._commit(give_up)
        except confluent_kafka.KafkaException as error:  # begin_transaction: nothing was opened
            raise _end("begin a transaction", error.args[0]) from error
        except _Aborted:
            self._abort()
            return False
        if self._ownership.committed(offsets):
            self._progress.made()
        for work, _ in batch:
            self._progress.settled(work)
        return True

    def _take(self) -> list[tuple[Work, list[OutRecord]]]:
        """What is still ours; only the poll thread changes that, so it stays ours until the transaction ends."""
        with self._changed:
            taken = list(self._ready)
            self._ready.clear()
            self._ready_bytes = self._ready_frames = 0
            self._changed.notify_all()
        return [(work, records) for work, records in taken if self._ownership.is_current(work)]

    def _produce(self, record: OutRecord, give_up: Callable[[], bool]) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    headers=list(record.headers),
                    on_delivery=record.on_delivery,
                )
                return
            except BufferError:
                self._producer.poll(PAUSE_S)
                if give_up():
                    raise _Aborted from None
            except confluent_kafka.KafkaException as error:
                # Refused at the door once the transaction has failed; what it died of, the abort tells.
                log.warning("a record was refused", topic=record.topic, error=error.args[0].str())
                raise _Aborted from error

    def _call(self, what: str, call: Callable[[], None], give_up: Callable[[], bool]) -> None:
        while True:
            try:
                call()
                return
            except confluent_kafka.KafkaException as error:
                verdict = verdict_on(error.args[0])
                if verdict is Verdict.END:
                    raise _end(what, error.args[0]) from error
                if verdict is Verdict.ABORT or give_up():
                    log.warning("transaction aborted", call=what, error=error.args[0].str())
                    raise _Aborted from error
                time.sleep(PAUSE_S)

    def _commit(self, give_up: Callable[[], bool]) -> None:
        """Once asked for, a commit can only be asked for again: whether it happened is not ours to guess."""
        deadline: Deadline | None = None
        while True:
            try:
                self._producer.commit_transaction(CALL_S)
                return
            except confluent_kafka.KafkaException as error:
                verdict = verdict_on(error.args[0])
                if verdict is Verdict.ABORT:
                    log.warning("transaction aborted", call="commit", error=error.args[0].str())
                    raise _Aborted from error
                if give_up() and deadline is None:
                    deadline = Deadline(2 * CALL_S)
                if verdict is Verdict.END or (deadline is not None and deadline.expired()):
                    raise _end("commit a transaction", error.args[0]) from error
                time.sleep(PAUSE_S)

    def _abort(self) -> None:
        """Aborted work is not gone back to by itself: the worker rewinds to what is committed."""
        deadline = Deadline(LONGEST_BACK_OFF_S)
        while True:
            try:
                self._producer.abort_transaction(CALL_S)
                break
            except confluent_kafka.KafkaException as error:
                if verdict_on(error.args[0]) is not Verdict.AGAIN or deadline.expired():
                    raise _end("abort a transaction", error.args[0]) from error
                time.sleep(PAUSE_S)
        with self._changed:
            self._ready.clear()
            self._ready_bytes = self._ready_frames = 0
            self._changed.notify_all()
        self.rewind()


def init_transactions(producer: confluent_kafka.Producer, address: str, stop: Stop, timeout_s: float) -> None:
    """Fences an earlier worker of the same transactional id and waits until its transaction is settled."""
    deadline = Deadline(timeout_s)
    while True:
        try:
            producer.init_transactions(CALL_S)
            return
        except confluent_kafka.KafkaException as error:
            retriable = verdict_on(error.args[0]) is Verdict.AGAIN
            if not retriable or deadline.expired() or stop.is_set():
                hint = f"transactions cannot be started: {error.args[0].str()}"
                raise Unavailable("Kafka", address, hint) from error


def _end(what: str, error: KafkaError) -> Stalled:
    return Stalled(f"could not {what}: {error.str()}; ending, the broker settles what was under way")


def _size_bytes(records: list[OutRecord]) -> int:
    return sum(len(record.value or b"") + 256 for record in records)
