"""Sends numbered frames at a fixed rate; only frames that the brokers acknowledged count as sent."""

import hashlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka

from schemas.codec import encode
from schemas.coordinates import Coordinates
from schemas.records import Encoding
from tests.faults.pictures import Poison, any_poison, frame_of, unique_jpeg

Identity = tuple[str, int, bytes]
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sent:
    """One acknowledged frame. `poison`: the kind of its damage; None where it must be labelled."""

    source_id: str
    seq: int
    sent_s: float
    poison: Poison | None = None

    @property
    def reason(self) -> str | None:
        """The reason that its dead letter must have; None where it must be labelled."""
        return self.poison.reason if self.poison else None


@dataclass(frozen=True, slots=True)
class Traffic:
    """`repeat_share` of the frames have the same bytes as the frame before of their source; `poison_share` are poison.

    `captured_shift_s`: by how many seconds the camera's clock is wrong at the frame with that number.
    """

    rate_per_s: float = 50.0
    sources: int = 6
    repeat_share: float = 0.0
    poison_share: float = 0.0
    max_frames: int | None = None
    captured_shift_s: Callable[[int], float] = lambda _seq: 0.0
    poison: Callable[[random.Random], Poison] = any_poison


def identity(key: str, timestamp_ms: int, value: bytes | None) -> Identity:
    """Recognises one sent record by its key, timestamp and content, without its offset."""
    return key, timestamp_ms, hashlib.blake2b(value or b"", digest_size=16).digest()


def coordinates_of(message: confluent_kafka.Message) -> Coordinates:
    return Coordinates(message.topic() or "", message.partition() or 0, message.offset() or 0)


@dataclass
class FrameSender:
    """A producer that uses nothing of the product's own: idempotent, acks=all, in one thread."""

    bootstrap_servers: str
    topic: str
    traffic: Traffic
    rng: random.Random
    acknowledged: dict[Coordinates, Sent] = field(default_factory=dict)
    # The same in the order of the acknowledgements, so that a position in it splits older frames from newer ones.
    log: list[tuple[Coordinates, Sent]] = field(default_factory=list)
    # Acknowledged without an offset: an earlier attempt was written, and only its answer was lost.
    unplaced: dict[Identity, Sent] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "enable.idempotence": True,
                "acks": "all",
                "max.in.flight.requests.per.connection": 1,  # KAFKA-15591
                "linger.ms": 5,
                "retry.backoff.max.ms": 200,  # as in the product: how soon the client asks for a new leader
                "message.max.bytes": 9 * _MIB,
                # Longer than any outage of the suite: a frame without an acknowledgement would prove nothing.
                "delivery.timeout.ms": 300_000,
                "queue.buffering.max.messages": 200_000,
                "log_level": 0,
                "error_cb": lambda _error: None,
            }
        )
        self._epoch_ms = int(time.time() * 1000)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._last_image: dict[str, bytes] = {}
        self.error: BaseException | None = None

    def start(self) -> "FrameSender":
        self._thread.start()
        return self

    def wait(self, timeout_s: float) -> None:
        """Wait until `max_frames` are sent."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise AssertionError(f"the sender still sends after {timeout_s:g} s: {len(self.acknowledged)} acknowledged")

    def finish(self, timeout_s: float = 120.0) -> None:
        """Stop sending, and wait until every sent frame is acknowledged."""
        self._stop.set()
        self._thread.join(10.0)
        left = self._producer.flush(timeout_s)
        if self.error is not None:
            raise self.error
        if left or self.refused:
            raise AssertionError(f"{left} frames without an answer after {timeout_s:g} s, refused: {self.refused[:3]}")

    def abandon(self) -> None:
        """Stop without waiting for acknowledgements: for a test that failed before `finish`."""
        self._stop.set()
        self._thread.join(10.0)
        self._producer.purge()

    def place_by(self, message: confluent_kafka.Message) -> None:
        """Take the offset of a record that was acknowledged without one from the record as it lies on the topic."""
        key = (message.key() or b"").decode(errors="replace")
        sent = self.unplaced.pop(identity(key, message.timestamp()[1], message.value()), None)
        if sent is not None:
            self.acknowledged[coordinates_of(message)] = sent

    def _run(self) -> None:
        try:
            self._send_all()
        except BaseException as error:
            self.error = error

    def _send_all(self) -> None:
        started_s = time.monotonic()
        number = 0
        while not self._stop.is_set() and number != self.traffic.max_frames:
            self._send(f"cam-{number % self.traffic.sources}", number // self.traffic.sources)
            number += 1
            wait_s = started_s + number / self.traffic.rate_per_s - time.monotonic()
            self._producer.poll(max(0.0, wait_s))
            # poll returns at the first report, so the rest of the wait is still to do.
            self._stop.wait(max(0.0, started_s + number / self.traffic.rate_per_s - time.monotonic()))

    def _send(self, source_id: str, seq: int) -> None:
        image = self._last_image.get(source_id, b"")
        if not image or self.rng.random() >= self.traffic.repeat_share:
            image = self._last_image[source_id] = unique_jpeg(f"{source_id}/{self._epoch_ms}/{seq}")
        now_us = int((time.time() + self.traffic.captured_shift_s(seq)) * 1e6)
        frame = frame_of(source_id, self._epoch_ms, seq, now_us, image, Encoding.JPEG)
        poison = self.traffic.poison(self.rng) if self.rng.random() < self.traffic.poison_share else None
        value = encode(frame) if poison is None else poison.make(frame)
        sent = Sent(source_id, seq, time.monotonic(), poison)
        self._produce(source_id, value, now_us // 1000, sent)

    def _produce(self, key: str, value: bytes | None, timestamp_ms: int, sent: Sent) -> None:
        def reported(error: Any, message: Any) -> None:
            if error is None and message.offset() is None:
                self.unplaced[identity(key, timestamp_ms, value)] = sent
            elif error is None:
                place = coordinates_of(message)
                self.acknowledged[place] = sent
                self.log.append((place, sent))
            else:
                self.refused.append(str(error))

        self._producer.produce(self.topic, key=key, value=value, timestamp=timestamp_ms, on_delivery=reported)
