"""When a sink commits: after each flush, again until the broker has confirmed it, and at the end."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from infra.kafka.consumer import CommitReport, PartitionFault, Rebalance
from infra.kafka.errors import KafkaFailure
from infra.kafka.groups import GroupProgress
from infra.kafka.records import ConsumedRecord
from infra.process import logs, metrics
from infra.process.lifecycle import Deadline
from schemas.coordinates import TopicPartition
from schemas.errors import Stalled

log = logs.get(__name__)

AGAIN_S = 1.0


class Member(Protocol):
    """The part of `infra.kafka.consumer.GroupConsumer` that a sink uses. Tests have an implementation in memory."""

    @property
    def is_paused(self) -> bool: ...
    def subscribe(self, topics: list[str], rebalance: Rebalance) -> None: ...
    def poll(self, timeout_s: float) -> ConsumedRecord | PartitionFault | None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def start_at(self, offsets: Mapping[TopicPartition, int]) -> None: ...
    def commit_soon(self, offsets: Mapping[TopicPartition, int]) -> None: ...
    def commit_within(self, offsets: Mapping[TopicPartition, int], deadline: Deadline) -> str | None: ...
    def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]: ...
    def log_range(self, partition: TopicPartition, timeout_s: float) -> tuple[int, int] | None: ...


class Commits:
    """The commits of a sink. Used by the loop's thread only. Outside a rebalance at most one commit is pending."""

    def __init__(self, member: Member, progress: GroupProgress[None], stage: str) -> None:
        """`stage`: the name in metrics."""
        self._member, self._progress, self._stage = member, progress, stage
        self._starts: dict[TopicPartition, int] = {}
        self._is_waiting = False
        self._next_s = 0.0

    def start_at(self, partition: TopicPartition, position: int) -> None:
        """Commit the start position before the first label is stored.

        So monitors see a lag at once.
        """
        self._starts[partition] = position
        self.hurry()

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._starts.pop(partition, None)

    def hurry(self) -> None:
        """Commit at the next `tick`, because labels were flushed."""
        self._next_s = 0.0

    def tick(self, now_s: float) -> None:
        if now_s >= self._next_s and not self._is_waiting:
            self._next_s = now_s + AGAIN_S
            self.send()

    def send(self) -> None:
        """Send a commit now, without waiting for the answer; `on_report` gets it."""
        offsets = self._to_commit()
        if not offsets:
            return
        try:
            self._is_waiting = True
            self._member.commit_soon(offsets)
        except KafkaFailure as error:
            self._is_waiting = False
            self._count_failure(error.fault.word)
            if error.fault.is_fatal:
                raise Stalled(f"the Kafka consumer cannot go on: {error}") from error
            log.warning("commit failed; it is sent again", error=str(error))

    def finish(self, deadline: Deadline) -> None:
        """Commit the rest and wait for the answer. Not to be called inside a rebalance, where no answer comes."""
        offsets = self._to_commit()
        why = self._member.commit_within(offsets, deadline) if offsets else None
        if why is not None:
            self._count_failure(metrics.UNCONFIRMED)
            log.warning("flushed labels could not be committed", error=why)

    def on_report(self, report: CommitReport) -> None:
        self._is_waiting = False
        self._progress.committed(report.stored)
        for partition, offset in report.stored.items():
            if offset >= self._starts.get(partition, offset + 1):
                del self._starts[partition]
        if report.fault is not None:
            self._count_failure(report.fault.word)
            log.warning("commit failed; it is sent again", error=str(report.fault))

    def _count_failure(self, reason: str) -> None:
        metrics.COMMIT_FAILURES.labels(self._stage, reason).inc()

    def _to_commit(self) -> dict[TopicPartition, int]:
        return {**self._starts, **self._progress.to_commit()}
