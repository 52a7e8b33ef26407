"""Uploads to Kafka: frames are answered for once the broker has acknowledged them. From the event loop's thread."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from infra.kafka.errors import FaultKind, KafkaFault
from infra.kafka.sender import DeliveryReport
from infra.process import logs
from infra.process.times import now_us
from ingest.gateway.body import Upload
from ingest.gateway.keys import Key
from ingest.gateway.pictures import check_pixels, sniff
from ingest.gateway.problems import Problem
from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import ENVELOPE_BYTES, Outbox
from schemas.records import Encoding, Micros, SourceKind

log = logs.get(__name__)

# After an upload that Kafka did not acknowledge, others are refused at once for so long.
AWAY_S = 2.0
# So many pictures go to one shard before the next one's turn: a partition then gets them in few requests to the broker.
SHARD_RUN = 16


@dataclass(frozen=True, slots=True)
class Picture:
    """An upload that was looked at."""

    data: bytes
    name: str
    encoding: Encoding


def pictures_of(uploads: Sequence[Upload], max_pixels: int, max_image_bytes: int) -> list[Picture]:
    """Raises Problem 413 or 415, which names the file, when one of them cannot be taken: then none is."""
    found = []
    for upload in uploads:
        try:
            encoding = sniff(upload.data)
            check_pixels(upload.data, encoding, max_pixels)
            if len(upload.data) > max_image_bytes:
                raise Problem(413, "too_large", f"a picture may have {max_image_bytes} bytes")
        except Problem as problem:
            if upload.name:
                problem.detail = f"{upload.name}: {problem.detail}"
            raise
        found.append(Picture(upload.data, upload.name, encoding))
    return found


class Intake:
    """Publishes pictures as frames of `<key name>.<shard>`, the shards in turn by runs."""

    def __init__(self, outbox: Outbox, shards: int, max_frame_bytes: int, loop: asyncio.AbstractEventLoop) -> None:
        self._outbox, self._loop = outbox, loop
        self.max_image_bytes = max_frame_bytes - ENVELOPE_BYTES
        self.epoch = time.time_ns() // 1_000_000
        self._shards = itertools.cycle(shard for shard in range(shards) for _ in range(SHARD_RUN))
        self.in_flight = self.arrived = self.finished = 0
        self._away_until_s = 0.0
        self.closing = False

    @property
    def is_away(self) -> bool:
        """Kafka has just failed to acknowledge an upload."""
        return time.monotonic() < self._away_until_s

    async def publish(self, key: Key, pictures: Sequence[Picture], captured_at: Micros | None) -> list[str]:
        """The frame ids, once all are acknowledged.

        Raises Problem 503 when Kafka is away, with the frames that it took nevertheless, and 429 when it is behind.
        """
        if self.is_away:
            raise _away([])
        reports = [self._send(key, picture, captured_at) for picture in pictures]
        answers = [await report for report in reports]
        taken = [frame_id for frame_id, fault in answers if fault is None]
        faults = [fault for _, fault in answers if fault is not None]
        if not faults:
            return taken
        if faults[0] is _FULL:
            raise Problem(429, "busy", "Kafka takes uploads more slowly than they come", 1.0, {"frames": taken})
        if faults[0].kind is FaultKind.TOO_LARGE:
            raise Problem(413, "too_large", "Kafka takes no record of this size", more={"frames": taken})
        self._away_until_s = time.monotonic() + AWAY_S
        log.warning("uploads are refused: Kafka does not acknowledge", error=str(faults[0]))
        raise _away(taken)

    def _send(
        self, key: Key, picture: Picture, captured_at: Micros | None
    ) -> asyncio.Future[tuple[str, KafkaFault | None]]:
        answer: asyncio.Future[tuple[str, KafkaFault | None]] = self._loop.create_future()
        now = now_us()
        frame = OutgoingFrame(
            source_id=key.source_id(next(self._shards)),
            source_kind=SourceKind.UPLOAD,
            stream_epoch=self.epoch,
            captured_at=now if captured_at is None else captured_at,
            received_at=now,
            encoding=picture.encoding,
            image=picture.data,
            uri=picture.name,
            attributes={"upload.key": key.name},
        )

        def on_report(frame_id: str, report: DeliveryReport) -> None:
            self._loop.call_soon_threadsafe(self._settle, answer, frame_id, report.fault)

        self.arrived += 1
        self.in_flight += 1
        if not self._outbox.publish(frame, _at_once, on_report):
            self._settle(answer, "", _FULL)
        return answer

    def _settle(
        self, answer: asyncio.Future[tuple[str, KafkaFault | None]], frame_id: str, fault: KafkaFault | None
    ) -> None:
        self.in_flight -= 1
        self.finished += fault is None
        if not answer.done():  # a client that went away does not wait any more
            answer.set_result((frame_id, fault))


# The client's own queue has no room; the event loop does not wait for it.
_FULL = KafkaFault(FaultKind.PASSING, "_QUEUE_FULL", "the producer's queue is full")


def _at_once() -> bool:
    return True


def _away(taken: list[str]) -> Problem:
    """`taken`: frames of the request that were acknowledged; repeating it uploads them once more."""
    return Problem(503, "kafka_away", "Kafka does not acknowledge uploads now", 5.0, {"frames": taken})
