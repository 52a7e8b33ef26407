"""Frames, labels and dead letters as the stages write them, for the tests of their readers."""

import io
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Producer
from PIL import Image

from infra.kafka.clients import producer_config
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.headers import Failure, Header, failure_headers
from schemas.records import Decision, Encoding, Frame, Label, ModelRef, Origin, Prediction, Quality, SourceKind
from tests.support.deployment import Deployment


def a_label(source: Coordinates | None = None, **changes: Any) -> Label:
    """A label with the class espresso; `changes` replaces fields."""
    now = time.time_ns() // 1000
    fields: dict[str, Any] = {
        "frame_id": "dock-1/1/1",
        "source_id": "dock-1",
        "captured_at": now - 80_000,
        "labelled_at": now,
        "decision": Decision.ACCEPTED,
        "reason": None,
        "predictions": (Prediction("967", "espresso", 0.91), Prediction("504", "coffee mug", 0.05)),
        "origin": Origin.MODEL,
        "model": ModelRef("null", "1", "none"),
        "quality": Quality(100.0, 128.0, 40.0),
        "source": source or Coordinates("frames.raw", 0, 0),
    }
    return Label(**{**fields, **changes})


def a_frame(number: int, source_id: str = "dock-1", image: bytes | None = None) -> Frame:
    now = time.time_ns() // 1000
    return Frame(
        f"{source_id}/1/{number}", source_id, SourceKind.CAMERA, 1, number, now, now, Encoding.JPEG, image or a_jpeg()
    )


def a_jpeg(colour: tuple[int, int, int] = (200, 120, 40)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(out, "JPEG")
    return out.getvalue()


class Wire:
    """Writes to the topics of a deployment and returns the coordinates of each record."""

    def __init__(self, deployment: Deployment) -> None:
        self.topics = deployment.topics
        self._producer = Producer(producer_config(deployment.settings(), **{"linger.ms": 0}))
        self._next_frame: Counter[int] = Counter()

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: str = "dock-1",
        partition: int = 0,
        headers: list[Header] | None = None,
        timestamp_ms: int = 0,
    ) -> Coordinates:
        """Write one record and wait until it is acknowledged."""
        return self.send_all(topic, [value], key=key, partition=partition, headers=headers, timestamp_ms=timestamp_ms)[
            0
        ]

    def send_all(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        key: str = "dock-1",
        partition: int = 0,
        headers: list[Header] | None = None,
        timestamp_ms: int = 0,
    ) -> list[Coordinates]:
        written: list[Coordinates] = []

        def delivered(error: Any, message: Any) -> None:
            assert error is None, error
            written.append(Coordinates(message.topic(), message.partition(), message.offset()))

        for value in values:
            self._producer.produce(
                topic,
                value,
                key,
                partition=partition,
                headers=list(headers or ()),
                timestamp=timestamp_ms,
                on_delivery=delivered,
            )
        assert self._producer.flush(30) == 0
        return written

    def frames(self, count: int, partition: int = 0, timestamp_ms: int = 0) -> list[Coordinates]:
        """Numbered in each partition as their offsets are: the ids are those that `label` and `labels` name."""
        first = self._next_frame[partition]
        self._next_frame[partition] += count
        values = [codec.encode(a_frame(number)) for number in range(first, first + count)]
        return self.send_all(self.topics.frames, values, partition=partition, timestamp_ms=timestamp_ms)

    def label(self, source: Coordinates, **changes: Any) -> Coordinates:
        value = codec.encode(a_label(source, **{"frame_id": f"dock-1/1/{source.offset}", **changes}))
        return self.send(self.topics.labels, value, partition=source.partition)

    def label_soon(self, source: Coordinates, **changes: Any) -> None:
        """Send one record. It is acknowledged when `flush` returns."""
        value = codec.encode(a_label(source, **changes))
        self._producer.produce(
            self.topics.labels, value, changes.get("source_id", "dock-1"), partition=source.partition
        )
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def labels(self, sources: Iterable[Coordinates], **changes: Any) -> None:
        """Labels of frames as `frames` writes them into a new topic."""
        values = [
            codec.encode(a_label(source, **{"frame_id": f"dock-1/1/{source.offset}", **changes})) for source in sources
        ]
        self.send_all(self.topics.labels, values)

    def dead(
        self,
        source: Coordinates,
        value: bytes | None = b"no frame",
        *,
        stage: str = "decode",
        error_class: str = "not_an_image",
        message: str = "starts with 6e 6f",
        attempt: int = 0,
        key: str = "dock-1",
    ) -> Coordinates:
        failure = Failure(source, time.time_ns() // 1_000_000, stage, error_class, message, attempt)
        headers = failure_headers(None, failure)
        return self.send(self.topics.dead, value, key=key, partition=source.partition, headers=headers)
