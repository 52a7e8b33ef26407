"""A stream stage with a producer and a cache that answer when the test says so."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import Mock

from inference.cache.record import CachedLabel
from inference.image import ImageInfo, Prepared
from infra.failures.outcomes import FrameRecord
from infra.kafka.errors import FaultKind, KafkaFault
from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import DeliveryReport, OutRecord
from infra.settings import Settings
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame, Busy
from schemas.headers import read_failure
from schemas.records import Encoding, Frame, ModelRef, Prediction, Quality, SourceKind
from streams.stage.frame_stage import FrameStage, Pool
from streams.stage.frames import PendingFrame
from streams.stage.writer import Outputs
from tests.support.thread_pool import ThreadPool

QUALITY = Quality(1, 2, 3)
CACHED = CachedLabel((Prediction("1", "tench", 0.9),), QUALITY)
INFO = Mock(spec=ImageInfo)
PREPARATION = "0123456789abcdef" * 2


@dataclass
class Sent:
    """One record that the stage sent; the test says what the broker answers."""

    record: OutRecord
    is_written: bool = False

    @property
    def topic(self) -> str:
        return self.record.topic

    @property
    def value(self) -> bytes:
        assert self.record.value is not None
        return self.record.value

    def written(self) -> None:
        self.is_written = True
        self._report(None)

    def refused(self) -> None:
        self._report(KafkaFault(FaultKind.OTHER, "_MSG_TIMED_OUT", "timed out"))

    def _report(self, fault: KafkaFault | None) -> None:
        assert self.record.on_delivery is not None
        self.record.on_delivery(DeliveryReport(self.record.topic, self.record.partition, 0, fault))


@dataclass
class FakeSender:
    """Keeps the records that it is given. Raises Busy for the first `busy` calls, and the errors in `refusals`."""

    busy: int = 0
    max_record_bytes: int = 9_000_000
    fatal: str | None = None
    sent: list[Sent] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)

    def send(self, record: OutRecord) -> None:
        if self.busy:
            self.busy -= 1
            raise Busy(0.001)
        if self.refusals:
            raise self.refusals.pop()
        self.sent.append(Sent(record))

    def wait_for_room(self, size_bytes: int, timeout_s: float) -> bool:
        return True

    def to(self, topic: str) -> list[Sent]:
        return [one for one in self.sent if one.topic == topic]


class FakeCache:
    def __init__(self, hits: int) -> None:
        self._hits, self.calls = hits, 0

    async def lookup(self, hashes: Sequence[bytes]) -> list[CachedLabel | None]:
        self.calls += 1
        return [CACHED if index < self._hits else None for index in range(len(hashes))]


def work(data: bytes) -> Prepared:
    if data == b"bad":
        raise BadFrame("truncated", "half a JPEG")
    if data == b"no room":
        raise MemoryError("no room")
    return Prepared(data * 10, 224, 224, QUALITY, INFO)


class FakeTopic:
    """Gives back the records that the stage was given, except the `gone` ones; `places`: what it was asked for."""

    def __init__(self) -> None:
        self.records: dict[int, FrameRecord] = {}
        self.gone: set[int] = set()
        self.places: list[int] = []

    async def read(self, place: Coordinates) -> ConsumedRecord | None:
        self.places.append(place.offset)
        await asyncio.sleep(0)
        if place.offset in self.gone:
            return None
        found = self.records[place.offset]
        return ConsumedRecord(
            place.topic, place.partition, place.offset, found.timestamp_ms, b"", found.value, found.headers
        )


class Rig:
    """A stage with a fake sender and cache; it records the offsets that the stage finished."""

    def __init__(
        self, cache: FakeCache | None = None, busy: int = 0, pool: Pool | None = None, **sections: Any
    ) -> None:
        self.reread, self.is_current = FakeTopic(), True
        self.sender, self.failures, self.finished = FakeSender(busy), list[BaseException](), list[int]()
        sections["stream"] = {"batch_deadline_ms": 1, **sections.get("stream", {})}
        settings = Settings(**sections)
        outputs = Outputs(settings, "live", self.sender, ModelRef("m", "1", "none"), None, 12, Mock(), PREPARATION)
        self.stage = FrameStage(outputs, pool or ThreadPool(work), cache, self.reread, self.failures.append)

    def take(
        self,
        offset: int,
        image: bytes = b"sound",
        value: bytes | None = None,
        partition: int = 0,
        recorded_ms: int = 99,
        source: str = "cam",
    ) -> None:
        frame = Frame(f"{source}/1/{offset}", source, SourceKind.CAMERA, 1, offset, 7, 8, Encoding.JPEG, image)
        place = Coordinates("frames.raw", partition, offset)
        record = FrameRecord(place, recorded_ms, b"cam", value or codec.encode(frame), [])
        self.reread.records[offset] = record
        self.stage.take(PendingFrame(record, lambda: self.finished.append(offset), lambda: self.is_current))

    def take_deferred(self, offset: int, recorded_ms: int = 99) -> None:
        record = FrameRecord(Coordinates("frames.raw", 0, offset), recorded_ms, b"cam", None, [])
        self.stage.take_deferred(PendingFrame(record, lambda: self.finished.append(offset)))

    def come_back(self, sent: Sent) -> None:
        """The retry consumer has read this record."""
        failure = read_failure(sent.record.headers)
        assert failure is not None
        self.take_deferred(failure.source.offset, failure.timestamp_ms)

    async def settle_sent(self, topic: str, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.sender.to(topic)) < count:
                await asyncio.sleep(0.005)

    async def settle(self) -> None:
        """Wait until every window is closed and processed. Delivery reports are not awaited."""
        async with asyncio.timeout(20):
            while self.stage._tasks or self.stage._builder.due_ms is not None:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)

    async def written(self) -> None:
        await self.acknowledge()
        await self.settle()

    async def acknowledge(self) -> None:
        """The broker has everything that was sent up to now."""
        for one in self.sender.sent:
            if not one.is_written:
                one.written()
        await asyncio.sleep(0.002)
