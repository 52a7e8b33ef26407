"""Frames of the past on `frames.raw`, and what a plain scan of them says."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import Producer

from infra.kafka.clients import producer_config
from infra.kafka.records import ConsumedRecord
from infra.process.times import now_us
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.records import Encoding, Frame, SourceKind
from tests.support.batches import read_all
from tests.support.deployment import Deployment

SOURCES = ("dock-1", "dock-2", "gate-1")
OLD_TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True)
class History:
    """What the topic holds."""

    records: Sequence[ConsumedRecord]

    @staticmethod
    def written(
        deployment: Deployment,
        frames: int,
        spread_ms: int,
        seed: int,
        *,
        image_bytes: int = 200,
        age_ms: int = 3_600_000,
    ) -> "History":
        """Write frames, one a millisecond of the range [now - 2 * age, now - age], each up to `spread_ms` late or
        early, and many with equal times.
        """
        chosen = random.Random(seed)
        settings = deployment.settings()
        producer = Producer(producer_config(settings))
        partitions = deployment.partitions(deployment.topics.frames)
        begin_ms = now_us() // 1000 - 2 * age_ms
        for number in range(frames):
            at_ms = begin_ms + age_ms * number // frames + chosen.randint(-spread_ms, spread_ms)
            at_ms -= at_ms % 500
            source_id = chosen.choice(SOURCES)
            image = chosen.randbytes(8) + bytes(image_bytes)
            frame = Frame(
                f"{source_id}/1/{number}", source_id, SourceKind.CAMERA, 1, number, at_ms * 1000, at_ms * 1000,
                Encoding.JPEG, image,
            )  # fmt: skip
            producer.produce(
                deployment.topics.frames,
                codec.encode(frame),
                source_id,
                partition=chosen.randrange(partitions),
                timestamp=at_ms,
                headers=[("traceparent", OLD_TRACE), ("x-own", b"1")],
            )
            producer.poll(0)
        assert producer.flush(60) == 0
        return History(read_all(settings, deployment.topics.frames))

    @property
    def middle(self) -> tuple[int, int]:
        """A range from the first to the second third of the times: from, and to without it."""
        times = sorted(record.timestamp_ms for record in self.records)
        return times[len(times) // 3], times[2 * len(times) // 3]

    def places(self, from_ms: int, to_ms: int, source_id: str | None = None) -> list[Coordinates]:
        """The plain scan."""
        return [
            record.coordinates
            for record in self.records
            if from_ms <= record.timestamp_ms < to_ms and source_id in (None, (record.key or b"").decode())
        ]
