"""Micro-batches made by the test, for tests of the worker without a stream processor."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from infra.kafka.publisher import Publisher
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import DeliveryReport, OutRecord, send_wait
from infra.kafka.topics import TopicNames
from infra.process.lifecycle import Deadline
from infra.settings import Settings
from schemas import codec
from schemas.coordinates import TopicPartition
from schemas.headers import Header
from schemas.records import (
    BatchItem,
    Encoding,
    Frame,
    Label,
    MicroBatch,
    PixelEncoding,
    Quality,
    SourceKind,
)
from tests.support.runner import Running

SIDE = 224
ROW_BYTES = SIDE * SIDE * 3 // 2
QUALITY = Quality(100.0, 120.0, 50.0)


def frame(source_id: str, number: int, image: bytes = b"an image") -> Frame:
    now_us = time.time_ns() // 1000
    frame_id = f"{source_id}/1/{number}"
    return Frame(frame_id, source_id, SourceKind.CAMERA, 1, number, now_us, now_us, Encoding.JPEG, image)


def row(number: int) -> bytes:
    """An image of one class: the null model takes the first byte modulo 10 as the class."""
    return bytes([number % 256]) + bytes(ROW_BYTES - 1)


def micro_batch(topic: str, partition: int, offsets: Sequence[int], pixels: Callable[[int], bytes] = row) -> MicroBatch:
    """A micro-batch with one image for each offset; `frame_id` and pixels show the offset."""
    rows = [pixels(offset) for offset in offsets]
    now_us, start, items = time.time_ns() // 1000, 0, []
    for offset, data in zip(offsets, rows, strict=True):
        source_id = f"cam-{partition}"
        image_hash = hashlib.sha256(f"{topic}/{partition}/{offset}".encode()).digest()[:16]
        items.append(
            BatchItem(offset, f"{source_id}/1/{offset}", source_id, now_us, image_hash, QUALITY, start, len(data))
        )
        start += len(data)
    return MicroBatch(
        batch_id=f"{partition}-{offsets[0] if offsets else 'none'}",
        lane="live",
        encoding=PixelEncoding.I420,
        width=SIDE,
        height=SIDE,
        source_topic=topic,
        source_partition=partition,
        items=tuple(items),
        pixels=b"".join(rows),
    )


def batch_record(
    partition: TopicPartition, offset: int, value: bytes | None = None, *headers: Header
) -> ConsumedRecord:
    """A record of the batches topic as the worker's consumer gives it."""
    return ConsumedRecord(*partition, offset, 99, b"3", value, list(headers))


@dataclass
class Feeder:
    """Writes numbered frames as micro-batches, as a stream processor would, partition by partition."""

    settings: Settings
    partitions: int = 4
    next_offset: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = TopicNames.for_lane(self.settings.topic_prefix)
        self.publisher = Publisher(self.settings)
        self.refused: list[str] = []

    def feed(self, batches: int, frames_per_batch: int = 4, *, with_frames: bool = False) -> None:
        """Write micro-batches to the partitions in turn; `with_frames` also writes the frames that they refer to."""
        for number in range(batches):
            partition = number % self.partitions
            first = self.next_offset.get(partition, 0)
            self.next_offset[partition] = first + frames_per_batch
            offsets = range(first, first + frames_per_batch)
            if with_frames:
                for offset in offsets:
                    self.send(self.names.frames, partition, codec.encode(frame(f"cam-{partition}", offset)))
            self.send(self.names.batches, partition, codec.encode(micro_batch(self.names.frames, partition, offsets)))

    def send(self, topic: str, partition: int, value: bytes, headers: list[Header] | None = None) -> None:
        def delivered(report: DeliveryReport) -> None:
            if report.fault is not None:
                self.refused.append(f"{topic}/{partition}: {report.fault}")

        record = OutRecord(topic, str(partition), value, headers or [], partition=partition, on_delivery=delivered)
        assert send_wait(self.publisher, record, Deadline(30).expired), "the producer had no room for 30 s"

    @property
    def frames(self) -> set[tuple[int, int]]:
        """(partition, offset) of every frame that was fed."""
        return {(partition, offset) for partition, end in self.next_offset.items() for offset in range(end)}

    def labelled(self) -> Counter[tuple[int, int]]:
        """How many labels there are of each (partition, offset)."""
        return Counter(sources(read_labels(self.settings)))

    def close(self) -> None:
        assert self.publisher.close(30) == 0
        assert self.refused == []


def read_all(settings: Settings, topic: str) -> list[ConsumedRecord]:
    """Every committed record up to the present end of the topic."""
    with Reader(settings) as reader:
        return list(reader.read(reader.spans(topic)))


def read_labels(settings: Settings) -> list[Label]:
    names = TopicNames.for_lane(settings.topic_prefix)
    return [codec.decode(Label, record.value) for record in read_all(settings, names.labels)]


def sources(labels: Sequence[Label]) -> list[tuple[int, int]]:
    return [(label.source.partition, label.source.offset) for label in labels]


def wait_for(condition: Callable[[], bool], timeout_s: float, what: str, running: Sequence[Running] = ()) -> float:
    """Wait until it is true; returns the seconds it took. Else fails with `what` and the processes' stderr."""
    started_s = time.monotonic()
    while not condition():
        if time.monotonic() - started_s > timeout_s:
            said = [f"{process}, exit code {process.exit_code}:\n{process.stderr[-3000:]}" for process in running]
            raise AssertionError("\n".join([f"not within {timeout_s:g} s: {what}", *said]))
        time.sleep(0.1)
    return time.monotonic() - started_s
