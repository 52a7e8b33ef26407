"""A member of a consumer group that holds the records of a topic until each is due, in a thread of its own.

Offsets are committed up to the first record that is not finished: once a second, before partitions go, and at the end.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeVar

from infra.kafka.clients import Keys
from infra.kafka.consumer import CommitReport, GroupConsumer, PartitionFault
from infra.kafka.errors import KafkaFailure, raise_if_final
from infra.kafka.first_commits import FirstCommits
from infra.kafka.groups import GroupProgress
from infra.kafka.records import ConsumedRecord
from infra.kafka.topic_ids import TopicIds
from infra.process import logs, metrics
from infra.process.lifecycle import Deadline
from infra.settings import Settings
from schemas.coordinates import TopicPartition

log = logs.get(__name__)

POLL_S = 0.1
COMMIT_S = 1.0

T = TypeVar("T")


class HoldingMember(ABC, Generic[T]):
    """A subclass says what is held, for how long, and who gets it; its methods are called in the member's thread.

    A record that was started in `progress` may be finished in any thread, under `_lock`.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        topic: str,
        group_id: str,
        fail: Callable[[BaseException], None],
        *,
        forced: Keys | None = None,
        topic_ids: TopicIds | None = None,
    ) -> None:
        """`name`: of the thread, and of the stage in metrics. `fail` is called with the error that ends the thread."""
        self._name, self._topic, self._fail = name, topic, fail
        self._lock = threading.Lock()  # around `progress`, which other threads change as well
        self.progress: GroupProgress[T] = GroupProgress()
        self._is_committing = False
        self._consumer = GroupConsumer(
            settings, group_id, on_commit=self._on_commit, forced=forced, topic_ids=topic_ids
        )
        self._first_commits = FirstCommits(self._consumer, self.progress)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Commit what is finished and leave the group."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    # -- what a subclass says

    @abstractmethod
    def _hold(self, record: ConsumedRecord) -> None:
        """A record was read."""

    @abstractmethod
    def _hand_over(self) -> None:
        """Give away what is due. Called every `POLL_S` at least."""

    @abstractmethod
    def _is_full(self) -> bool:
        """Whether no more can be held now. The rest stays on the topic."""

    @abstractmethod
    def _drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget what is held of these partitions: the next owner reads it again."""

    @abstractmethod
    def _on_gone(self, partition: TopicPartition, offsets: Sequence[range]) -> None:
        """Retention has removed these records before they were read."""

    # -- the thread

    def _run(self) -> None:
        try:
            self._consumer.subscribe([self._topic], self)
            commit_at_s = 0.0
            while not self._closing.is_set():
                self._poll()
                self._hand_over()
                self._keep_bounds()
                with self._lock:
                    gone = self._first_commits.look(time.monotonic())
                for partition, offsets in gone.items():
                    self._on_gone(partition, offsets)
                if time.monotonic() >= commit_at_s and not self._is_committing:
                    self._commit_soon()
                    commit_at_s = time.monotonic() + COMMIT_S
            self._commit_at_end()
            self._consumer.close()
        except Exception as error:  # noqa: BLE001 - without this thread records would wait for ever, unnoticed
            self._fail(error)

    def _poll(self) -> None:
        """Read until nothing more is there or the bounds are reached."""
        found = self._consumer.poll(POLL_S)
        while found is not None:
            if isinstance(found, ConsumedRecord):
                self._hold(found)
            else:
                self._on_fault(found)
            found = None if self._is_full() else self._consumer.poll(0)

    def _on_fault(self, found: PartitionFault) -> None:
        """The client recovers by itself from every fault that is not final."""
        raise_if_final(found.fault)
        log.warning("a consumer reports an error", topic=self._topic, error=found.fault.text, code=found.fault.name)

    def _keep_bounds(self) -> None:
        """Pause while the bounds are reached. The consumer is polled meanwhile, so that it stays in the group."""
        is_full = self._is_full()
        if is_full != self._consumer.is_paused:
            (self._consumer.pause if is_full else self._consumer.resume)()

    # -- commits

    def _commit_soon(self) -> None:
        """Commit what is finished, without waiting; after a failure the next call tries again."""
        offsets = self._to_commit()
        if not offsets:
            return
        self._is_committing = True
        try:
            self._consumer.commit_soon(offsets)
        except KafkaFailure as error:
            self._is_committing = False
            self._tell_uncommitted(error.fault.word, str(error))

    def _commit_at_end(self) -> None:
        offsets = self._to_commit()
        failure = self._consumer.commit_within(offsets, Deadline(COMMIT_S)) if offsets else None
        if failure is not None:
            metrics.COMMIT_FAILURES.labels(self._name, metrics.UNCONFIRMED).inc()
            log.warning("offsets are not committed, their records are read again", topic=self._topic, error=failure)

    def _to_commit(self) -> dict[TopicPartition, int]:
        with self._lock:
            return self.progress.to_commit()

    def _on_commit(self, report: CommitReport) -> None:
        """The answer to `commit_soon`; called inside `poll`."""
        self._is_committing = False
        with self._lock:
            self.progress.committed(report.stored)
        if report.fault is not None:
            self._tell_uncommitted(report.fault.word, str(report.fault))

    def _tell_uncommitted(self, reason: str, error: str) -> None:
        metrics.COMMIT_FAILURES.labels(self._name, reason).inc()
        log.warning("offsets are not committed yet", topic=self._topic, error=error)

    # -- rebalances, reported by the client from within `poll` and `close`

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        with self._lock:
            self.progress.assign(partitions)
        self._first_commits.on_assign(partitions)

    def on_revoke(self, partitions: list[TopicPartition]) -> None:
        """The commit is sent before the request that gives the partitions up; waiting for it would have no limit."""
        if not self._closing.is_set():  # then `_commit_at_end` has done it
            self._commit_soon()
        self.on_lost(partitions)

    def on_lost(self, partitions: list[TopicPartition]) -> None:
        """Forget what was read of these partitions. Records that were handed over are finished without effect."""
        self._drop(partitions)
        self._first_commits.on_revoke(partitions)
        with self._lock:
            self.progress.revoke(partitions)
