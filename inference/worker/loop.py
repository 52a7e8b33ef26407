"""The poll thread: reads batches, keeps the partitions' book, pauses, settles. It never waits for the device."""

import time
from collections.abc import Callable, Iterable

from inference.device.staging import Staging
from inference.device.work import Origin
from inference.models.base import InputSpec
from inference.worker.delivery.at_least_once import Delivery
from inference.worker.group.ownership import Ownership
from inference.worker.intake import read_work
from infra.kafka.consumer import GroupConsumer, PartitionFault
from infra.kafka.errors import FaultKind, KafkaFailure
from infra.kafka.records import ConsumedRecord
from infra.kafka.start_offsets import StartOffsets
from infra.process import logs, metrics
from infra.process.lifecycle import Deadline, Stop
from schemas import codec, headers
from schemas.coordinates import TopicPartition
from schemas.errors import Stalled

log = logs.get(__name__)

POLL_S, BUSY_POLL_S = 0.1, 0.02
# Whatever a rebalance takes away is finished within this, or left to the next owner.
REVOKE_BUDGET_S = 5.0
LONGEST_TURN_S = 2 * REVOKE_BUDGET_S


class WorkerLoop:
    """Everything here runs on one thread, rebalance callbacks included: the client calls them from `poll`."""

    def __init__(
        self,
        consumer: GroupConsumer,
        topic: str,
        spec: InputSpec,
        staging: Staging,
        ownership: Ownership,
        delivery: Delivery,
        starts: StartOffsets,
        stop: Stop,
        *,
        max_bytes: int,
        max_frames: int,
        registry: codec.Registry | None = None,
    ) -> None:
        self._consumer, self._topic, self._spec, self._registry = consumer, topic, spec, registry
        self._staging, self._ownership, self._delivery = staging, ownership, delivery
        self._starts, self._stop = starts, stop
        self._max_bytes, self._max_frames = max_bytes, max_frames
        self._is_closing = False
        self.has_joined = False
        self._work_waits = False
        self._turned_s = time.monotonic()

    def work_waits(self) -> bool:
        """Read and not committed; also a loop that does not come round. For the watchdog's thread."""
        return self._work_waits or time.monotonic() - self._turned_s > LONGEST_TURN_S

    def owned(self) -> frozenset[int]:
        """The numbers of the partitions that are ours. For any thread."""
        return frozenset(number for _, number in self._ownership.places())

    def run(self) -> None:
        """Until `stop`. Raises Stalled when the client or the delivery cannot go on."""
        self._consumer.subscribe([self._topic], self)
        while not self._stop.is_set():
            self._work_waits, self._turned_s = self._ownership.has_uncommitted, time.monotonic()
            found = self._consumer.poll(BUSY_POLL_S if self._work_waits else POLL_S)
            if isinstance(found, ConsumedRecord):
                self._accept(found)
            elif found is not None:
                self._on_fault(found)
            now_s = time.monotonic()
            self._start_at(self._starts.found(now_s))
            self._delivery.tick(now_s)
            self._pause_or_resume()

    def close(self, deadline: Deadline, join_pipeline: Callable[[float], None]) -> None:
        """Drop what waits, finish what is on the device as far as the time goes, write, commit, leave the group."""
        self._is_closing = True
        self._staging.drop(self._ownership.places())
        self._staging.close()
        join_pipeline(deadline.remaining_s() / 2)
        self._delivery.close(deadline)

    def rewind(self) -> None:
        """After aborted writes: read all that is not committed again; what is under way of it counts no more."""
        positions = self._ownership.rewind()
        self._staging.drop(positions)
        try:
            self._consumer.seek(positions)
        except KafkaFailure as error:
            raise Stalled(f"could not go back to what is committed: {error}") from error
        log.warning("reading again what was not committed", positions=_named(positions))

    # -- reading

    def _accept(self, record: ConsumedRecord) -> None:
        generation = self._ownership.generation(record.topic_partition)
        if generation is None:
            return  # was on its way while the partition was taken from us
        work = read_work(_origin(record, generation), record.value, self._spec, self._registry)
        self._ownership.start(work)
        self._staging.put(work)

    def _start_at(self, positions: dict[TopicPartition, int]) -> None:
        """Read these partitions of ours from there on; what is under way of them counts no more."""
        if not positions:
            return
        self._ownership.assign(positions)
        self._staging.drop(positions)
        try:
            self._consumer.start_at(positions)
        except KafkaFailure as error:
            raise Stalled(f"could not start at a committed offset: {error}") from error
        log.info("partitions started", positions=_named(positions))

    def _on_fault(self, found: PartitionFault) -> None:
        fault = found.fault
        if fault.kind is FaultKind.NO_OFFSET:
            self._starts.want(found.topic_partition)
            return
        if fault.is_fatal:
            raise Stalled(f"the Kafka consumer cannot go on: {fault}")
        if fault.kind is FaultKind.OUT_OF_GROUP:
            # We are out of the group, whatever is announced to us later.
            self._lose(self._ownership.places())
        log.warning("kafka consumer error", error=fault.text, code=fault.name)

    def _pause_or_resume(self) -> None:
        """Full at the limits, open again under half of them: each pause throws away what was fetched ahead."""
        bytes_held, frames_open = self._staging.size_bytes, self._ownership.open_frames
        is_paused = self._consumer.is_paused
        if not is_paused and (bytes_held >= self._max_bytes or frames_open >= self._max_frames):
            self._consumer.pause()
        elif is_paused and bytes_held <= self._max_bytes // 2 and frames_open <= self._max_frames // 2:
            self._consumer.resume()
        metrics.PAUSED.labels("device").set(self._consumer.is_paused)
        metrics.FRAMES_OPEN.set(frames_open)

    # -- rebalances

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        self._ownership.assign(partitions)
        self.has_joined = True
        log.info("partitions assigned", partitions=sorted(number for _, number in partitions))

    def on_revoke(self, partitions: list[TopicPartition]) -> None:
        """Nothing more of them reaches the device; what is there already is finished, written and committed in time."""
        dropped = self._staging.drop(partitions)
        if not self._is_closing:  # then that was done already
            awaited = [work for work in self._ownership.open_work(partitions) if work not in dropped]
            self._delivery.finish(awaited, Deadline(REVOKE_BUDGET_S))
        self._ownership.forget(partitions)
        self._starts.forget(partitions)
        log.info("partitions revoked", partitions=sorted(number for _, number in partitions), dropped=len(dropped))

    def on_lost(self, partitions: list[TopicPartition]) -> None:
        """Somebody else may own them already: not a word about them any more."""
        self._lose(partitions)

    def _lose(self, places: Iterable[TopicPartition]) -> None:
        lost = list(places)
        self._ownership.forget(lost)
        self._starts.forget(lost)
        self._staging.drop(lost)
        log.warning("partitions lost", partitions=sorted(number for _, number in lost))


def _origin(record: ConsumedRecord, generation: int) -> Origin:
    return Origin(
        record.topic,
        record.partition,
        record.offset,
        generation,
        record.timestamp_ms,
        record.key,
        tuple(headers.to_map(record.headers).items()),
        headers.attempt_of(record.headers),
        headers.replay_id_of(record.headers),
    )


def _named(positions: dict[TopicPartition, int]) -> dict[str, int]:
    return {str(partition): offset for partition, offset in positions.items()}
