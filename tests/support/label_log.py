"""The labels topic and its consumer group in memory, so that the real loop of a sink runs without a broker."""

from collections.abc import Iterable, Mapping
from typing import Any

from infra.failures.breaker import Breaker
from infra.kafka.consumer import CommitReport, PartitionFault, Rebalance
from infra.kafka.errors import FaultKind, KafkaFailure, KafkaFault
from infra.kafka.groups import GroupProgress
from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import DeliveryReport, OutRecord
from infra.process.lifecycle import Deadline
from infra.settings import BreakerSettings, SinkSettings
from schemas import codec
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame
from schemas.records import Label
from sinks.base.contract import Sink
from sinks.base.dead import DeadLabels
from sinks.base.flusher import Flusher
from sinks.base.loop import SinkLoop
from sinks.base.repeats import RepeatWindow
from tests.support.sink_records import a_label

TOPIC, DEAD_TOPIC = "labels", "labels.dead"
REFUSED = KafkaFault(FaultKind.OTHER, "ILLEGAL_GENERATION", "the group has a new generation")


class LabelLog:
    """What the broker stores: the records of the labels topic and the offsets that the group has committed."""

    def __init__(self, partitions: int = 2, log_id: str = "cluster/topic-1") -> None:
        self.log_id = log_id
        self.records: dict[TopicPartition, list[bytes]] = {TopicPartition(TOPIC, one): [] for one in range(partitions)}
        self.firsts = dict.fromkeys(self.records, 0)
        self.committed: dict[TopicPartition, int] = {}

    def put(self, frame: int, partition: int = 0, **changes: Any) -> Coordinates:
        """Write a label of this frame. A second label of the same frame is a repeat."""
        source = Coordinates("frames.raw", partition, frame)
        return self.put_value(codec.encode(a_label(source, frame_id=f"dock-1/1/{frame}", **changes)), partition)

    def put_value(self, value: bytes, partition: int = 0) -> Coordinates:
        records = self.records[TopicPartition(TOPIC, partition)]
        records.append(value)
        return Coordinates(TOPIC, partition, len(records) - 1)

    def distinct(self, window_offsets: int) -> list[Coordinates]:
        """The coordinates of the labels that a sink has to store: all but repeats and values that are not labels."""
        places = []
        for partition, values in self.records.items():
            window = RepeatWindow(window_offsets)
            for offset, value in enumerate(values):
                try:
                    label = codec.decode(Label, value)
                except BadFrame:
                    continue
                if not window.is_repeat(offset, label):
                    places.append(Coordinates(*partition, offset))
        return places


class MemoryMember:
    """One member of the group, each an object of its own. The test assigns and revokes partitions."""

    def __init__(self, log: LabelLog) -> None:
        self.log = log
        self.is_paused = False
        self.refuses_commits = False
        self.polls_while_paused = 0
        self.loop: SinkLoop | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._rebalance: Rebalance | None = None
        self.faults: list[PartitionFault] = []

    def subscribe(self, topics: list[str], rebalance: Rebalance) -> None:
        assert topics == [TOPIC]
        self._rebalance = rebalance

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        assert self._rebalance is not None
        self._rebalance.on_assign(list(partitions))
        for partition in partitions:
            self._positions[partition] = self.log.committed.get(partition, 0)

    def revoke(self, partitions: Iterable[TopicPartition], *, lost: bool = False) -> None:
        assert self._rebalance is not None
        (self._rebalance.on_lost if lost else self._rebalance.on_revoke)(list(partitions))
        for partition in partitions:
            self._positions.pop(partition, None)

    def assigned(self) -> list[TopicPartition]:
        return list(self._positions)

    def poll(self, timeout_s: float) -> ConsumedRecord | PartitionFault | None:
        if self.faults:
            return self.faults.pop(0)
        if self.is_paused:
            self.polls_while_paused += 1
            return None
        for partition, position in self._positions.items():
            records = self.log.records[partition]
            if self.log.firsts[partition] <= position < len(records):
                del self._positions[partition]
                self._positions[partition] = (
                    position + 1
                )  # moves to the end of the dictionary, so that partitions take turns
                return ConsumedRecord(*partition, position, 1_000 + position, b"dock-1", records[position], None)
        return None

    def has_read_all(self) -> bool:
        return all(position >= len(self.log.records[one]) for one, position in self._positions.items())

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def start_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        assert offsets.keys() <= self._positions.keys(), "only what is assigned can be read"
        self._positions.update(offsets)

    def commit_soon(self, offsets: Mapping[TopicPartition, int]) -> None:
        assert self.loop is not None
        if self.refuses_commits:
            self.loop.on_commit(CommitReport({}, REFUSED))
        else:
            self.log.committed.update(offsets)
            self.loop.on_commit(CommitReport(dict(offsets)))

    def commit_within(self, offsets: Mapping[TopicPartition, int], deadline: Deadline) -> str | None:
        if self.refuses_commits:
            return REFUSED.text
        self.log.committed.update(offsets)
        return None

    def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]:
        return {partition: self.log.committed.get(partition, -1001) for partition in partitions}

    def log_range(self, partition: TopicPartition, timeout_s: float) -> tuple[int, int] | None:
        return self.log.firsts[partition], len(self.log.records[partition])


class DeadLetterLog:
    """`labels.dead` in memory. While `is_away` is set, nothing is acknowledged."""

    max_record_bytes = 1_000_000
    fatal: str | None = None

    def __init__(self) -> None:
        self.written: list[OutRecord] = []
        self.is_away = False
        self.limit_bytes = 1_000_000

    def send(self, record: OutRecord) -> None:
        if len(record.value or b"") > self.limit_bytes:
            raise KafkaFailure(KafkaFault(FaultKind.TOO_LARGE, "MSG_SIZE_TOO_LARGE", "too large"))
        if self.is_away:
            return
        self.written.append(record)
        if record.on_delivery is not None:
            record.on_delivery(DeliveryReport(record.topic, 0, len(self.written) - 1))

    def wait_for_room(self, size_bytes: int, timeout_s: float) -> bool:
        return True


class SinkRun:
    """Runs the real loop with a sink on a log in memory, with its own clock. Like a process, it can be killed."""

    def __init__(
        self,
        log: LabelLog,
        sink: Sink,
        *,
        dead_letters: DeadLetterLog | None = None,
        partitions: Iterable[int] | None = None,
        window_offsets: int = 1_000,
        max_rows: int = 3,
    ) -> None:
        self.log, self.sink, self.dead_letters = log, sink, dead_letters or DeadLetterLog()
        self.now_s = 0.0
        settings = SinkSettings(max_batch_rows=max_rows, repeat_window_offsets=window_offsets)
        progress = GroupProgress[None]()
        flusher = Flusher(
            sink,
            progress,
            DeadLabels(self.dead_letters, DEAD_TOPIC, f"sink-{sink.name}"),
            Breaker(BreakerSettings()),
            window_offsets,
        )
        self.member = MemoryMember(log)
        self.loop = self.member.loop = SinkLoop(
            self.member,
            TOPIC,
            sink,
            flusher,
            progress,
            settings,
            clock=lambda: self.now_s,
            start=lambda run: run(),
        )
        sink.setup(log.log_id)
        self.member.subscribe([TOPIC], self.loop)
        numbers = range(len(log.records)) if partitions is None else partitions
        self.member.assign([TopicPartition(TOPIC, one) for one in numbers])

    def turn(self, seconds: float = 0.2) -> None:
        self.now_s += seconds
        self.loop.turn(0)

    def begin(self) -> None:
        """Run until the start offsets are known, without letting time pass."""
        while self.loop.waiting_for() == "waiting for the broker to return the start offsets":
            self.turn(0)

    def turn_until_idle(self) -> None:
        """Run until everything is read, and flushed and committed where that is possible."""
        self.begin()
        while not self.member.has_read_all() and not self.member.is_paused:
            self.turn()
        for _ in range(20):
            self.turn()

    def stop(self) -> None:
        """Stop as after SIGTERM."""
        self.loop.close(Deadline(5))
        self.sink.close()
