"""The loop of a sink: a member of its consumer group that stores labels in micro-batches and then commits them."""

import time
from collections.abc import Callable, Collection

from infra.kafka.consumer import CommitReport, PartitionFault
from infra.kafka.errors import FaultKind, KafkaFailure, raise_if_final
from infra.kafka.groups import GroupProgress
from infra.kafka.records import ConsumedRecord
from infra.kafka.traces import follow_record
from infra.process import logs, metrics
from infra.process.lifecycle import Deadline, Start, Stop, in_thread
from infra.settings import SinkSettings
from schemas.coordinates import TopicPartition
from schemas.errors import Busy, Stalled
from sinks.base.batch import Batch, Entry
from sinks.base.commits import Commits, Member
from sinks.base.contract import Sink
from sinks.base.flusher import Flusher
from sinks.base.start_positions import StartPositions

log = logs.get(__name__)

POLL_S = 0.1
# Labels of revoked partitions are flushed and committed within this time, or left to the next owner.
REVOKE_BUDGET_S = 5.0
# How long one flush waits for the acknowledgement of dead letters before it counts as Busy.
DEAD_LETTERS_S = 5.0
SAME_FAULT_S = 60.0


class SinkLoop:
    """Reads, flushes and commits on one thread; rebalance call-backs run inside `poll`, on the same thread.

    Other threads may call `waiting_for` and read `turned_s`. An assigned partition is read from its start position (see
    `start_positions`); its records are ignored until that position is known. The whole batch is flushed at once, so the
    finished offsets of a partition are always an unbroken prefix.
    """

    def __init__(
        self,
        member: Member,
        topic: str,
        sink: Sink,
        flusher: Flusher,
        progress: GroupProgress[None],
        settings: SinkSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        start: Start = in_thread,
        group: str = "",
    ) -> None:
        self._member, self._topic, self._sink, self._flusher = member, topic, sink, flusher
        self._progress, self._clock, self._group = progress, clock, group
        self._batch = Batch(settings)
        metrics.QUEUE_FRAMES.labels("sink").set_function(lambda: len(self._batch.entries))
        metrics.QUEUE_BYTES.labels("sink").set_function(lambda: self._batch.size_bytes)
        self._start_positions = StartPositions(member, settings.repeat_window_offsets, start)
        self._started: dict[TopicPartition, int] = {}  # of the partitions that are read, the start position
        self._flushed: dict[TopicPartition, int] = {}
        self._out_of_place: set[TopicPartition] = set()  # their next offset is not in the log
        self._commits = Commits(member, progress, f"sink-{sink.name}")
        self._retry_at_s = 0.0
        self._busy: Busy | None = None
        self.is_closing = False
        self._faults: dict[tuple[TopicPartition, str], float] = {}
        self.has_joined = False
        self.turned_s = clock()

    # -- for the wiring

    def waiting_for(self) -> str | None:
        """Why no labels are stored now; None while they are."""
        if self._busy is not None:
            return f"waiting for the target: {self._busy}"
        if not self.has_joined:
            return "not in the consumer group yet"
        return "waiting for the broker to return the start offsets" if self._start_positions.waits() else None

    def run(self, stop: Stop) -> None:
        """Run until `stop` is set. Raises SinkError or Stalled when the sink or the Kafka client cannot continue."""
        self._member.subscribe([self._topic], self)
        while not stop.is_set():
            self.turn()

    def turn(self, timeout_s: float = POLL_S) -> None:
        """Read at most one record, flush if the batch is due, commit."""
        found = self._member.poll(timeout_s)
        now_s = self.turned_s = self._clock()
        if isinstance(found, ConsumedRecord):
            self._take(found, now_s)
        elif found is not None:
            self._on_fault(found, now_s)
        ready, is_due = self._start_positions.ready(now_s), self._batch.is_due(now_s)
        if now_s >= self._retry_at_s and (ready or is_due):
            self._attempt(lambda: self._work(ready, is_due, now_s))
        self._restart_out_of_place()
        self._commits.tick(now_s)
        should_pause = self._busy is not None or self._batch.is_full()
        if should_pause != self._member.is_paused:
            (self._member.pause if should_pause else self._member.resume)()

    def close(self, deadline: Deadline) -> None:
        """Flush and commit what was read, with one attempt. The member stays in the group."""
        self.is_closing = True
        self._flush_once(deadline)
        self._commits.finish(deadline)

    def on_commit(self, report: CommitReport) -> None:
        """The answer to one of our commits. Called inside `poll`."""
        self._commits.on_report(report)

    # -- reading

    def _take(self, record: ConsumedRecord, now_s: float) -> None:
        partition = record.topic_partition
        position, generation = self._started.get(partition), self._progress.generation(partition)
        if position is None or generation is None:
            return
        is_wanted = record.offset >= position
        ticket = self._progress.start(partition, record.offset, None) if is_wanted else None
        span = follow_record(record, self._group) if is_wanted else None
        self._batch.add(Entry(record, generation, ticket, span=span), now_s)

    def _on_fault(self, found: PartitionFault, now_s: float) -> None:
        fault, partition = found.fault, found.topic_partition
        raise_if_final(fault)
        if fault.kind is FaultKind.OUT_OF_GROUP:
            self.on_lost(self._progress.partitions())
        elif fault.kind is FaultKind.NO_OFFSET:
            if partition in self._started:  # otherwise its start position is requested already
                self._out_of_place.add(partition)
            return
        last_s = self._faults.get((partition, fault.name))
        if last_s is None or now_s - last_s >= SAME_FAULT_S:
            self._faults[partition, fault.name] = now_s
            log.warning("kafka consumer error", error=str(fault), code=fault.name, partition=str(partition))

    def _restart_out_of_place(self) -> None:
        """Once what was read of them is stored: retention may have removed it from the log."""
        if not self._out_of_place:
            return
        stored = self._out_of_place - {entry.record.topic_partition for entry in self._batch.entries}
        if stored:
            log.info("the next offset is not in the log: partitions are restarted", partitions=sorted(map(str, stored)))
            self._forget(stored)
            self._assign(list(stored))

    def _work(self, ready: list[TopicPartition], is_due: bool, now_s: float) -> None:
        if ready:
            self._begin(ready, now_s)
        if is_due:
            self._flush(Deadline(DEAD_LETTERS_S))

    def _begin(self, ready: list[TopicPartition], now_s: float) -> None:
        """Start to read these partitions. Raises Busy when the sink cannot return its positions now."""
        stored = dict(self._sink.positions(ready))
        for partition in self._flushed.keys() & ready:
            stored[partition] = max(self._flushed[partition], stored.get(partition, 0))
        taken = self._start_positions.take(stored, now_s)
        for partition, (facts, start) in taken.items():
            self._started[partition] = start.position
            if facts.committed != start.position:
                self._commits.start_at(partition, start.position)
            if start.skipped:
                metrics.SINK_SKIPPED.labels(self._sink.name).inc(len(start.skipped))
                log.warning(
                    "labels were removed from the topic before the sink had read them",
                    partition=str(partition),
                    first=start.skipped.start,
                    last=start.skipped.stop - 1,
                )
        self._flusher.begin(taken)
        try:
            self._member.start_at({partition: start.read_from for partition, (_, start) in taken.items()})
        except KafkaFailure as error:
            raise Stalled(f"could not start to read {self._topic}: {error}") from error
        log.info(
            "reading of partitions started", positions={str(one): found.position for one, (_, found) in taken.items()}
        )

    # -- storing

    def _attempt(self, work: Callable[[], None]) -> bool:
        """Whether the work was done. When the target is busy, the next attempt follows after its `retry_after_s`."""
        try:
            work()
        except Busy as busy:
            if self._busy is None or str(self._busy) != str(busy):
                log.warning("the target cannot store labels now", sink=self._sink.name, reason=str(busy))
            self._busy, self._retry_at_s = busy, self._clock() + busy.retry_after_s
        else:
            if self._busy is not None:
                log.info("the target stores labels again", sink=self._sink.name)
            self._busy = None
        metrics.SINK_BUSY.labels(self._sink.name).set(self._busy is not None)
        return self._busy is None

    def _flush(self, deadline: Deadline) -> None:
        self._flushed.update(self._flusher.flush(self._batch.entries, deadline))
        self._batch.clear(self._clock())
        self._commits.hurry()

    def _flush_once(self, deadline: Deadline) -> None:
        """Flush the batch with one attempt, unless it is empty or the target is known to be busy."""
        if self._batch.entries and self._busy is None:
            self._attempt(lambda: self._flush(deadline))

    # -- rebalances

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        self.has_joined = True
        self._assign(partitions)
        log.info("partitions assigned", partitions=sorted(one.partition for one in partitions))

    def on_revoke(self, partitions: list[TopicPartition]) -> None:
        """Flush, and send the commit without waiting for its answer.

        Inside a rebalance the client never answers a commit for which another thread waits, and waiting in this thread
        has no deadline. The commit is sent on the same connection before the request that gives up the partitions.
        """
        if not self.is_closing:  # `close` has flushed and committed already
            self._flush_once(Deadline(REVOKE_BUDGET_S))
            self._commits.send()
        self._forget(partitions)
        self._forget_flushed(partitions)
        log.info("partitions revoked", partitions=sorted(one.partition for one in partitions))

    def on_lost(self, partitions: list[TopicPartition]) -> None:
        """Another member may store these labels already, so they are dropped and not committed."""
        self._forget(partitions)
        self._forget_flushed(partitions)
        log.warning("partitions lost", partitions=sorted(one.partition for one in partitions))

    def _assign(self, partitions: list[TopicPartition]) -> None:
        self._progress.assign(partitions)
        self._start_positions.want(partitions)

    def _forget(self, partitions: Collection[TopicPartition]) -> None:
        self._progress.revoke(partitions)
        self._start_positions.forget(partitions)
        self._flusher.forget(partitions)
        self._commits.forget(partitions)
        self._out_of_place.difference_update(partitions)
        for partition in partitions:
            self._started.pop(partition, None)
        self._batch.keep(lambda entry: self._progress.generation(entry.record.topic_partition) == entry.generation)

    def _forget_flushed(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            self._flushed.pop(partition, None)
