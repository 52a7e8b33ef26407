"""The poll thread: reads batches, serves rebalances, pauses and resumes, lets the delivery commit.

It never waits for the device.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from inference.device.staging import Staging
from inference.models.base import InputSpec
from inference.worker import traces
from inference.worker.delivery.base import Delivery
from inference.worker.group.joining import Joining
from inference.worker.group.work_in_flight import WorkInFlight
from inference.worker.read_batch import gone_work, read_work
from infra.failures.unknown_versions import VersionGuard
from infra.kafka.consumer import GroupConsumer, PartitionFault
from infra.kafka.errors import FaultKind, KafkaFailure, raise_if_final
from infra.kafka.records import ConsumedRecord
from infra.kafka.start_offsets import StartOffsets, StartPoint
from infra.process import logs, metrics
from infra.process.lifecycle import Deadline, Stop
from schemas import codec
from schemas.coordinates import TopicPartition
from schemas.errors import Stalled

log = logs.get(__name__)

POLL_S, BUSY_POLL_S = 0.1, 0.02
# How long a rebalance may wait for work that is on the device; what is not finished then is left to the next owner.
REVOKE_BUDGET_S = 5.0
LONGEST_TURN_S = 2 * REVOKE_BUDGET_S


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Reading pauses at either of them, and resumes under half of both: a pause throws away what was fetched ahead."""

    max_bytes: int
    max_frames: int


class WorkerLoop:
    """Everything here runs on one thread, the rebalance callbacks included: the client calls them from `poll`."""

    def __init__(
        self,
        consumer: GroupConsumer,
        topic: str,
        spec: InputSpec,
        registry: codec.Registry | None,
        staging: Staging,
        in_flight: WorkInFlight,
        *,
        joining: Joining,
        delivery: Delivery,
        start_offsets: StartOffsets,
        guard: VersionGuard,
        limits: ReadLimits,
        stop: Stop,
        group: str = "",
    ) -> None:
        self._consumer, self._topic, self._spec, self._registry = consumer, topic, spec, registry
        self._staging, self._in_flight, self._joining = staging, in_flight, joining
        self._delivery, self._start_offsets, self._limits, self._stop = delivery, start_offsets, limits, stop
        self._guard, self._group = guard, group
        self._is_closing = False
        self._work_waits = False
        self._turn_s = time.monotonic()
        # Micro-batches read, and the frames in them.
        self.batches = self.frames = 0

    def work_waits(self) -> bool:
        """Something was read and is not committed, or this loop hangs in one turn. For the watchdog's thread."""
        return self._work_waits or time.monotonic() - self._turn_s > LONGEST_TURN_S

    def run(self) -> None:
        """Until `stop`. Raises Stalled when the client or the delivery cannot go on, or a newer worker is needed."""
        self._consumer.subscribe([self._topic], self)
        while not self._stop.is_set():
            self._work_waits, self._turn_s = self._in_flight.has_uncommitted, time.monotonic()
            found = self._consumer.poll(BUSY_POLL_S if self._work_waits else POLL_S)
            if isinstance(found, ConsumedRecord):
                self._accept(found)
            elif found is not None:
                self._on_fault(found)
            now_s = time.monotonic()
            self._start_at(self._start_offsets.found(now_s, self._in_flight.last_read))
            self._delivery.tick(now_s)
            self._pause_or_resume()

    def close(self, deadline: Deadline, join_pipeline: Callable[[float], None]) -> None:
        """Drop what waits, finish what is on the device as far as the time allows, write and commit it."""
        self._is_closing = True
        self._staging.drop(self._in_flight.partitions())
        self._staging.close()
        join_pipeline(deadline.remaining_s() / 2)
        self._delivery.close(deadline)

    # -- reading

    def _accept(self, record: ConsumedRecord) -> None:
        generation = self._in_flight.generation(record.topic_partition)
        if generation is None:
            return  # the record was fetched before the partition was revoked
        work = read_work(record, generation, self._spec, self._guard, self._registry)
        self.batches, self.frames = self.batches + 1, self.frames + len(work.items)
        traces.begin(work, self._group)
        self._in_flight.start_work(work)
        self._staging.put(work)

    def _start_at(self, points: dict[TopicPartition, StartPoint]) -> None:
        """Read these partitions from there on. What is in flight of them stays where reading goes on behind it."""
        if not points:
            return
        anew = [partition for partition, point in points.items() if not point.goes_on]
        self._in_flight.assign(anew)
        self._staging.drop(anew)
        try:
            self._consumer.start_at({partition: point.offset for partition, point in points.items()})
        except KafkaFailure as error:
            raise Stalled(f"the consumer cannot start at a committed offset: {error}") from error
        log.info("partitions started", positions={str(one): point.offset for one, point in points.items()})
        for partition, point in points.items():
            if point.to_commit is not None:
                self._in_flight.set_beginning(partition, point.to_commit)
            self._take_gone(partition, point.gone, point.may_have_read)

    def _take_gone(self, partition: TopicPartition, gone: range, may_have_been_read: bool) -> None:
        """Retention was faster than the workers: the first work of the partition puts that on record."""
        generation = self._in_flight.generation(partition)
        if not gone or generation is None:
            return
        work = gone_work(partition, gone, generation, may_have_been_read=may_have_been_read)
        log.error("micro-batches are gone from their topic", why=str(work.bad))
        self._in_flight.start_work(work)
        self._staging.put(work)

    def _on_fault(self, found: PartitionFault) -> None:
        fault = found.fault
        if fault.kind is FaultKind.NO_OFFSET:
            self._start_offsets.want(found.topic_partition)
            return
        raise_if_final(fault)
        if fault.kind is FaultKind.OUT_OF_GROUP:
            # The worker is no member any more, whatever the client announces later.
            self.on_lost(self._in_flight.partitions())
        log.warning("kafka consumer error", error=fault.text, code=fault.name)

    def _pause_or_resume(self) -> None:
        size_bytes, frames, limits = self._staging.size_bytes, self._in_flight.frames, self._limits
        is_paused = self._consumer.is_paused
        if not is_paused and (size_bytes >= limits.max_bytes or frames >= limits.max_frames):
            self._consumer.pause()
        elif is_paused and size_bytes <= limits.max_bytes // 2 and frames <= limits.max_frames // 2:
            self._consumer.resume()
        metrics.PAUSED.labels("device").set(self._consumer.is_paused)
        metrics.FRAMES_OPEN.set(frames)

    # -- rebalances

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        self._in_flight.assign(partitions)
        self._joining.on_assign()
        log.info("partitions assigned", partitions=_numbers(partitions))

    def on_revoke(self, partitions: list[TopicPartition]) -> None:
        """Drop their waiting work, and finish, write and commit what is on the device already, within the time."""
        dropped = self._staging.drop(partitions)
        if not self._is_closing:  # then `close` has done it already
            awaited = [work for work in self._in_flight.in_flight(partitions) if work not in dropped]
            self._delivery.finish(awaited, Deadline(REVOKE_BUDGET_S))
        self._in_flight.revoke(partitions)
        self._start_offsets.forget(partitions)
        log.info("partitions revoked", partitions=_numbers(partitions), dropped=len(dropped))

    def on_lost(self, partitions: list[TopicPartition]) -> None:
        """Another worker may own them already: nothing of them is written or committed any more."""
        self._in_flight.revoke(partitions)
        self._start_offsets.forget(partitions)
        self._staging.drop(partitions)
        log.warning("partitions lost", partitions=_numbers(partitions))


def _numbers(partitions: list[TopicPartition]) -> list[int]:
    return sorted(partition.partition for partition in partitions)
