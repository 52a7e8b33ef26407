"""The poll loop of a worker over a client and a delivery that do what the test says."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, cast

from inference.device.staging import Staging
from inference.device.work import Work
from inference.models.null import INFO
from inference.worker.group.joining import Joining
from inference.worker.group.rewind import Rewind
from inference.worker.group.work_in_flight import WorkInFlight
from inference.worker.loop import ReadLimits, WorkerLoop
from infra.failures.unknown_versions import VersionGuard
from infra.kafka.consumer import PartitionFault
from infra.kafka.errors import FaultKind, KafkaFailure, KafkaFault
from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import OutRecord
from infra.kafka.start_offsets import StartOffsets
from infra.process.lifecycle import Deadline, Stop
from schemas import codec
from schemas.coordinates import TopicPartition
from tests.support.batches import batch_record, micro_batch

P0, P1 = TopicPartition("batches", 0), TopicPartition("batches", 1)


class Consumer:
    """Gives what the test queued, then stops the loop."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self.queued: list[Callable[[], ConsumedRecord | PartitionFault | None]] = []
        self.is_paused = False
        self.started: dict[TopicPartition, int] = {}
        self.sought: dict[TopicPartition, int] = {}
        self.pauses: list[bool] = []
        self.refuses = False
        self.first, self.committed_offset = 0, 40  # the log ends at 100

    def subscribe(self, topics: list[str], rebalance: object) -> None:
        assert topics == ["batches"]

    def poll(self, timeout_s: float) -> ConsumedRecord | PartitionFault | None:
        if not self.queued:
            self._stop.set()
            return None
        return self.queued.pop(0)()

    def pause(self) -> None:
        self.is_paused = True
        self.pauses.append(True)

    def resume(self) -> None:
        self.is_paused = False
        self.pauses.append(False)

    def start_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.started.update(offsets)

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self.refuses:
            raise KafkaFailure(KafkaFault(FaultKind.OTHER, "_STATE", "Local: Erroneous state"))
        self.sought.update(offsets)

    def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.committed_offset)

    def log_range(self, partition: TopicPartition, timeout_s: float) -> tuple[int, int]:
        return (self.first, 100)


class Delivery:
    def __init__(self) -> None:
        self.ticks = 0
        self.awaited: list[Work] = []

    def release(self, work: Work, records: list[OutRecord]) -> None:
        raise AssertionError("nothing runs the model here")

    def tick(self, now_s: float) -> None:
        self.ticks += 1

    def finish(self, awaited: Collection[Work], deadline: Deadline) -> None:
        self.awaited += awaited

    def close(self, deadline: Deadline) -> None: ...


class Rig:
    """A loop whose client and delivery are fakes; it owns both partitions."""

    def __init__(self, max_bytes: int = 1 << 30, max_frames: int = 1_000) -> None:
        self.stop, self.delivery, self.joining = Stop(), Delivery(), Joining()
        self.consumer, self.in_flight = Consumer(self.stop), WorkInFlight()
        self.staging = Staging(INFO.input, max_rows=8, max_delay_ms=0)
        client: Any = cast(Any, self.consumer)
        self.loop = WorkerLoop(
            client,
            "batches",
            INFO.input,
            None,
            self.staging,
            self.in_flight,
            joining=self.joining,
            delivery=self.delivery,
            start_offsets=StartOffsets(client, start=lambda ask: ask()),
            guard=VersionGuard("this worker", ()),
            limits=ReadLimits(max_bytes, max_frames),
            stop=self.stop,
        )
        self.rewind = Rewind(client, self.in_flight, self.staging)
        self.loop.on_assign([P0, P1])

    def run(self, *polled: ConsumedRecord | PartitionFault | Callable[[], None]) -> None:
        for one in polled:
            self.consumer.queued.append(one if callable(one) else partial(_given, one))
        self.loop.run()


def _given(found: ConsumedRecord | PartitionFault) -> ConsumedRecord | PartitionFault:
    return found


def record(partition: TopicPartition, offset: int, frames: int = 1) -> ConsumedRecord:
    first = offset * 10
    batch = micro_batch("frames.raw", partition.partition, range(first, first + frames))
    return batch_record(partition, offset, codec.encode(batch))


def fault(kind: FaultKind, partition: TopicPartition = P0) -> PartitionFault:
    return PartitionFault(partition, KafkaFault(kind, kind.name, "on purpose"))
