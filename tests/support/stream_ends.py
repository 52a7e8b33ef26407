"""The two ends of a stream stage under test: `Feed` writes frames, `Outcomes` reads what the stage writes."""

import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import simplejpeg
from confluent_kafka import TopicPartition

from infra.kafka import clients
from infra.kafka.publisher import Publisher
from infra.kafka.records import ConsumedRecord, consumed_record
from infra.kafka.sender import DeliveryReport, OutRecord, send_wait
from infra.kafka.topics import group
from schemas import codec, headers
from schemas.records import Encoding, Frame, Label, MicroBatch, SourceKind
from tests.support.deployment import PARTITIONS, Deployment

Place = tuple[int, int]


def jpeg(seed: int, side: int = 64) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return bytes(simplejpeg.encode_jpeg(noise, quality=80))


@dataclass
class Feed:
    """Writes frames to the source topic and keeps their partitions and offsets."""

    deployment: Deployment
    compression: str = "none"

    def __post_init__(self) -> None:
        self._publisher = Publisher(
            self.deployment.settings(kafka={"producer": {"compression.type": self.compression}})
        )
        self.places: set[Place] = set()

    def send(self, number: int, image: bytes | None = None, value: bytes | None = None, **extra: bytes) -> None:
        frame = Frame(
            f"cam/1/{number}", f"cam{number % 7}", SourceKind.CAMERA, 1, number, 7, 8, Encoding.JPEG,
            jpeg(number) if image is None else image,
        )  # fmt: skip

        def delivered(report: DeliveryReport) -> None:
            assert report.fault is None
            self.places.add((report.partition, report.offset))

        send_wait(
            self._publisher,
            OutRecord(
                self.deployment.topics.frames,
                frame.source_id,
                codec.encode(frame) if value is None else value,
                [(name.replace("_", "-"), text) for name, text in extra.items()],
                number % PARTITIONS,
                on_delivery=delivered,
            ),
        )

    def flush(self) -> int:
        """Wait until the broker has them all; how many it has not."""
        return self._publisher.flush(30)

    def close(self) -> None:
        assert self._publisher.close(30) == 0


class Outcomes:
    """Reads everything that the stage writes, from the beginning of the topics."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        names = deployment.topics
        self._consumer = clients.consumer(deployment.settings(), f"{deployment.prefix}test")
        self._consumer.assign(
            [TopicPartition(topic, one, 0) for topic in (names.batches, names.labels, names.dead)
             for one in range(PARTITIONS)]
        )  # fmt: skip
        self.batches: list[tuple[MicroBatch, ConsumedRecord]] = []
        self.labels: list[Label] = []
        self.dead: list[ConsumedRecord] = []

    def places(self) -> Counter[Place]:
        found = Counter((batch.source_partition, item.offset) for batch, _ in self.batches for item in batch.items)
        found.update((label.source.partition, label.source.offset) for label in self.labels)
        for letter in self.dead:
            failure = headers.read_failure(letter.headers)
            assert failure is not None
            found[failure.source.partition, failure.source.offset] += 1
        return found

    def wait_for(self, places: set[Place], timeout_s: float = 90) -> Counter[Place]:
        until = time.monotonic() + timeout_s
        while not places <= self.places().keys():
            assert time.monotonic() < until, f"{len(places - self.places().keys())} of {len(places)} have no outcome"
            self.read()
        return self.places()

    def read_rest(self) -> None:
        """Read what a stage has written that is stopped by now."""
        while self.read():
            pass

    def read(self) -> bool:
        """Take what comes within half a second; False where nothing does."""
        message = self._consumer.poll(0.5)
        if message is None or message.error():
            return False
        record = consumed_record(message)
        if record.topic == self._deployment.topics.batches:
            batch = codec.decode(MicroBatch, record.value)
            assert record.partition == batch.source_partition
            assert record.key == str(batch.source_partition).encode()
            self.batches.append((batch, record))
        elif record.topic == self._deployment.topics.labels:
            self.labels.append(codec.decode(Label, record.value))
        else:
            self.dead.append(record)
        return True

    def close(self) -> None:
        self._consumer.close()


def committed(deployment: Deployment) -> int:
    return sum(committed_of(deployment, one) for one in range(PARTITIONS))


def committed_of(deployment: Deployment, partition: int) -> int:
    """The offset that the stream stage has committed for this partition; 0 where it has none."""
    consumer = clients.consumer(deployment.settings(), group("stream", deployment.prefix))
    try:
        (found,) = consumer.committed([TopicPartition(deployment.topics.frames, partition)], 10)
        return max(0, found.offset)
    finally:
        consumer.close()


def wait_committed(deployment: Deployment, count: int, timeout_s: float = 30) -> None:
    until = time.monotonic() + timeout_s
    while (found := committed(deployment)) != count:
        assert time.monotonic() < until, f"{found} of {count} committed"
        time.sleep(0.2)
