"""Images of a crawl on their way to `frames.raw`, and what became of those that a killed crawl was sending."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from infra.kafka.reader import Reader
from infra.kafka.sender import DeliveryReport
from infra.process import logs
from infra.process.times import now_us
from infra.settings import Settings
from ingest.crawl.frontier import Frontier, Sending
from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import Outbox
from ingest.sources.files import encoding_of
from schemas.codec import Registry, decode
from schemas.errors import BadFrame
from schemas.records import Frame, SourceKind

log = logs.get(__name__)

SOURCE_PREFIX = "crawl."
# Whose frames are numbered in one epoch. The next host begins a new one for all.
MAX_HOSTS = 10_000
# How long before and after its note in the frontier a frame may have its time on the topic.
_BEFORE_US, _AFTER_US = 60_000_000, 600_000_000


class Publishing:
    """For one event loop. The outbox, which waits while Kafka takes nothing, has a thread of its own."""

    def __init__(self, outbox: Outbox, epoch_ms: int, give_up: Callable[[], bool]) -> None:
        self._outbox, self._epoch_ms, self._give_up = outbox, epoch_ms, give_up
        self._hosts: set[str] = set()
        self._thread = ThreadPoolExecutor(1, "publish")

    async def __call__(self, url: str, page: str, host: str, image: bytes) -> bool:
        """Publish an image and wait for the broker; False when the frame will not be written."""
        loop = asyncio.get_running_loop()
        delivered: asyncio.Future[bool] = loop.create_future()

        def on_report(_frame_id: str, report: DeliveryReport) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, delivered, report.fault is None)

        now = now_us()
        self._hosts.add(host)
        if len(self._hosts) > MAX_HOSTS:
            self._hosts = {host}
            self._epoch_ms = max(self._epoch_ms + 1, now // 1000)
            self._thread.submit(self._outbox.forget)  # before any frame of the new epoch
        frame = OutgoingFrame(
            source_id=f"{SOURCE_PREFIX}{host}",
            source_kind=SourceKind.CRAWLER,
            stream_epoch=self._epoch_ms,
            captured_at=now,
            received_at=now,
            encoding=encoding_of(image),
            image=image,
            uri=url,
            attributes={"page": page},
        )
        if not await loop.run_in_executor(self._thread, self._outbox.publish, frame, self._give_up, on_report):
            raise asyncio.CancelledError  # the crawl is ending
        return await delivered

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)


def settle_sending(settings: Settings, topic: str, frontier: Frontier, registry: Registry | None) -> int:
    """Find on the topic the frames that a killed crawl was sending: what is there is published, the rest is not.

    Returns how many were there. Without this, a frame could be on the topic twice.
    """
    left = {(one.url, one.digest): one for one in frontier.sending()}
    found = 0
    if left:
        for one in _on_topic(settings, topic, list(left.values()), registry):
            if sending := left.pop((one.uri or "", hashlib.sha256(one.image).digest()), None):
                frontier.sent(sending.id, sending.digest)
                found += 1
        for sending in left.values():
            frontier.not_sent(sending.id)
        log.info("frames that the last run was sending", published=found, not_published=len(left))
    return found


def _on_topic(settings: Settings, topic: str, sending: list[Sending], registry: Registry | None) -> list[Frame]:
    """Crawled frames of the time at which these were sent."""
    first, last = min(one.at_us for one in sending), max(one.at_us for one in sending)
    digests, frames = {one.digest for one in sending}, []
    prefix = SOURCE_PREFIX.encode()
    with Reader(settings) as reader:
        for record in reader.read(reader.spans(topic, first - _BEFORE_US, last + _AFTER_US)):
            if record.value is None or not (record.key or b"").startswith(prefix):
                continue
            try:
                frame = decode(Frame, record.value, registry)
            except BadFrame:
                continue
            if hashlib.sha256(frame.image).digest() in digests:
                frames.append(frame)
    return frames


def _settle(future: asyncio.Future[bool], written: bool) -> None:
    if not future.done():
        future.set_result(written)
