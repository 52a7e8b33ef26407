"""The loop of a sink: a member of its consumer group that stores labels in micro-batches and commits behind them."""

import time
from collections.abc import Callable, Collection

from infra.kafka.consumer import CommitReport, PartitionFault
from infra.kafka.errors import FaultKind, KafkaFailure
from infra.kafka.groups import GroupProgress
from infra.kafka.records import ConsumedRecord
from infra.process import logs, metrics
from infra.process.lifecycle import Deadline, Start, Stop, in_thread
from infra.settings import SinkSettings
from schemas.coordinates import TopicPartition
from schemas.errors import Busy, Stalled
from sinks.base.batch import Batch, Entry
from sinks.base.commits import Commits, Member
from sinks.base.contract import Sink
from sinks.base.flusher import Flusher
from sinks.base.starts import Beginnings

log = logs.get(__name__)

POLL_S = 0.1
# What a rebalance takes away is flushed and committed within this, or left to the next owner.
REVOKE_BUDGET_S = 5.0
# How long one flush waits for the acknowledgement of dead letters before it counts as Busy.
DEAD_LETTERS_S = 5.0
SAME_FAULT_S = 60.0


class SinkLoop:
    """All of it runs on one thread; rebalances are served from within `poll`. `waiting_for` and `turned_s` are for any.

    A partition that was assigned is read from its beginning (see `starts`); before that its records are ignored.
    The whole batch is flushed at once, so what is finished is always an unbroken prefix of each partition.
    """

    def __init__(
        self,
        member: Member,
        topic: str,
        sink: Sink,
        flusher: Flusher,
        progress: GroupProgress[None],
        settings: SinkSettings,
        reset: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        start: Start = in_thread,
    ) -> None:
        self._member, self._topic, self._sink, self._flusher = member, topic, sink, flusher
        self._progress, self._clock = progress, clock
        self._batch = Batch(settings)
        self._beginnings = Beginnings(member, reset, settings.repeat_window_offsets, start)
        self._begun: dict[TopicPartition, int] = {}  # where storing began, of the partitions that are read
        self._flushed: dict[TopicPartition, int] = {}
        self._commits = Commits(member, progress)
        self._retry_at_s = 0.0
        self._busy: Busy | None = None
        self.is_closing = False
        self._faults: dict[tuple[TopicPartition, str], float] = {}
        self.has_joined = False
        self.turned_s = clock()

    # -- for the wiring

    def waiting_for(self) -> str | None:
        """Why no labels flow into the sink; None while they do."""
        if self._busy is not None:
            return f"waiting for the target: {self._busy}"
        if not self.has_joined:
            return "not in the consumer group yet"
        return "waiting for the broker to tell where to begin" if self._beginnings.waits() else None

    def run(self, stop: Stop) -> None:
        """Until `stop`. Raises SinkError or Stalled when the sink, or the client, cannot go on."""
        self._member.subscribe([self._topic], self)
        while not stop.is_set():
            self.turn()

    def turn(self, timeout_s: float = POLL_S) -> None:
        """Read one record, flush when it is time, commit."""
        found = self._member.poll(timeout_s)
        now_s = self.turned_s = self._clock()
        if isinstance(found, ConsumedRecord):
            self._take(found, now_s)
        elif found is not None:
            self._on_fault(found, now_s)
        ready, is_due = self._beginnings.ready(now_s), self._batch.is_due(now_s)
        if now_s >= self._retry_at_s and (ready or is_due):
            self._attempt(lambda: self._work(ready, is_due, now_s))
        self._commits.tick(now_s)
        should_pause = self._busy is not None or self._batch.is_full()
        if should_pause != self._member.is_paused:
            (self._member.pause if should_pause else self._member.resume)()

    def close(self, deadline: Deadline) -> None:
        """Flush and commit what was read, if the target takes it: one attempt. The member is left in the group."""
        self.is_closing = True
        self._flush_once(deadline)
        self._commits.finish(deadline)

    def on_commit(self, report: CommitReport) -> None:
        """The answer to a commit of ours; called from within `poll`."""
        self._commits.on_report(report)

    # -- reading

    def _take(self, record: ConsumedRecord, now_s: float) -> None:
        partition = record.topic_partition
        position, generation = self._begun.get(partition), self._progress.generation(partition)
        if position is None or generation is None:
            return
        is_wanted = record.offset >= position
        ticket = self._progress.start(partition, record.offset, None) if is_wanted else None
        self._batch.add(Entry(record, generation, ticket), now_s)

    def _on_fault(self, found: PartitionFault, now_s: float) -> None:
        fault, partition = found.fault, found.topic_partition
        if fault.is_fatal:
            raise Stalled(f"the Kafka consumer cannot go on: {fault}")
        if fault.kind is FaultKind.OUT_OF_GROUP:
            self.on_lost(self._progress.partitions())
        elif fault.kind is FaultKind.NO_OFFSET:
            if partition in self._begun:  # else its beginning is being asked for already
                log.info("there is no offset to read on at: the partition begins anew", partition=str(partition))
                self._forget([partition])
                self._assign([partition])
            return
        last_s = self._faults.get((partition, fault.name))
        if last_s is None or now_s - last_s >= SAME_FAULT_S:
            self._faults[partition, fault.name] = now_s
            log.warning("kafka consumer error", error=str(fault), code=fault.name, partition=str(partition))

    def _work(self, ready: list[TopicPartition], is_due: bool, now_s: float) -> None:
        if ready:
            self._begin(ready, now_s)
        if is_due:
            self._flush(Deadline(DEAD_LETTERS_S))

    def _begin(self, ready: list[TopicPartition], now_s: float) -> None:
        """Read these partitions. Raises Busy when the sink cannot tell its positions now."""
        stored = dict(self._sink.positions(ready))
        for partition in self._flushed.keys() & ready:
            stored[partition] = max(self._flushed[partition], stored.get(partition, 0))
        begun = self._beginnings.take(stored, now_s)
        for partition, (facts, beginning) in begun.items():
            self._begun[partition] = beginning.position
            if facts.committed != beginning.position:
                self._commits.start_at(partition, beginning.position)
            if beginning.skipped:
                metrics.SINK_SKIPPED.labels(self._sink.name).inc(len(beginning.skipped))
                log.warning(
                    "labels are gone from the topic before the sink had read them",
                    partition=str(partition),
                    first=beginning.skipped.start,
                    last=beginning.skipped.stop - 1,
                )
        self._flusher.begin(begun)
        try:
            self._member.start_at({partition: beginning.read_from for partition, (_, beginning) in begun.items()})
        except KafkaFailure as error:
            raise Stalled(f"could not begin to read {self._topic}: {error}") from error
        log.info("partitions begun", positions={str(one): found.position for one, (_, found) in begun.items()})

    # -- storing

    def _attempt(self, work: Callable[[], None]) -> bool:
        """Whether it was done; a target that takes nothing now is asked again later."""
        try:
            work()
        except Busy as busy:
            if self._busy is None or str(self._busy) != str(busy):
                log.warning("the target takes nothing now", sink=self._sink.name, reason=str(busy))
            self._busy, self._retry_at_s = busy, self._clock() + busy.retry_after_s
        else:
            if self._busy is not None:
                log.info("the target takes labels again", sink=self._sink.name)
            self._busy = None
        metrics.SINK_BUSY.labels(self._sink.name).set(self._busy is not None)
        return self._busy is None

    def _flush(self, deadline: Deadline) -> None:
        self._flushed.update(self._flusher.flush(self._batch.entries, deadline))
        self._batch.clear(self._clock())
        self._commits.hurry()

    def _flush_once(self, deadline: Deadline) -> None:
        """What is possible in that time: a target that is known to be busy is not asked."""
        if self._batch.entries and self._busy is None:
            self._attempt(lambda: self._flush(deadline))

    # -- rebalances

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        self.has_joined = True
        self._assign(partitions)
        log.info("partitions assigned", partitions=sorted(one.partition for one in partitions))

    def on_revoke(self, partitions: list[TopicPartition]) -> None:
        """Within a rebalance the client gives no answer to a commit that is waited for in another thread, and one that
        is waited for in this thread knows no deadline. So the commit is only sent: ahead of the request that gives the
        partitions up, on the same connection.
        """
        if not self.is_closing:  # then it was done already
            self._flush_once(Deadline(REVOKE_BUDGET_S))
            self._commits.send()
        self._forget(partitions)
        self._forget_flushed(partitions)
        log.info("partitions revoked", partitions=sorted(one.partition for one in partitions))

    def on_lost(self, partitions: list[TopicPartition]) -> None:
        """Somebody else may store these labels already: they are dropped, and nothing of them is committed."""
        self._forget(partitions)
        self._forget_flushed(partitions)
        log.warning("partitions lost", partitions=sorted(one.partition for one in partitions))

    def _assign(self, partitions: list[TopicPartition]) -> None:
        self._progress.assign(partitions)
        self._beginnings.want(partitions)

    def _forget(self, partitions: Collection[TopicPartition]) -> None:
        self._progress.revoke(partitions)
        self._beginnings.forget(partitions)
        self._flusher.forget(partitions)
        self._commits.forget(partitions)
        for partition in partitions:
            self._begun.pop(partition, None)
        self._batch.keep(lambda entry: self._progress.generation(entry.record.topic_partition) == entry.generation)

    def _forget_flushed(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            self._flushed.pop(partition, None)
