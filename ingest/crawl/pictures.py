"""Images that were found: each distinct one is published once, and its URL is done after the broker has it."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from infra.process.times import now_us
from ingest.crawl import outcomes
from ingest.crawl.fetch import Answer
from ingest.crawl.frontier import Frontier, Waiting

# Hands one image to Kafka: its URL, its page, its host, the image. Whether the broker acknowledged it.
Publish = Callable[[str, str, str, bytes], Awaitable[bool]]


class Pictures:
    """For one event loop. Several images may be on their way at once."""

    def __init__(self, frontier: Frontier, publish: Publish, max_bytes: int) -> None:
        self._frontier, self._publish, self._max_bytes = frontier, publish, max_bytes
        self._in_flight: dict[bytes, asyncio.Future[None]] = {}

    async def take(self, url: Waiting, answer: Answer) -> None:
        """Publish the image, unless the same bytes are published or about to be."""
        if len(answer.body) > self._max_bytes:
            self._frontier.finish(url, outcomes.refused("too_large"))
            return
        digest = hashlib.sha256(answer.body).digest()
        while (other := self._in_flight.get(digest)) is not None:
            await asyncio.wait([other])
        if self._frontier.has_picture(digest):
            self._frontier.finish(url, outcomes.REPEATED, etag=answer.etag, modified=answer.modified)
            return
        own: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in_flight[digest] = own
        try:
            self._frontier.sends(url, digest, now_us())
            if await self._publish(url.url, url.page or url.url, url.host, answer.body):
                self._frontier.sent(url.id, digest, answer.etag, answer.modified)
            else:
                self._frontier.not_sent(url.id)
                self._frontier.finish(url, outcomes.error("not_published"))
        finally:
            self._in_flight.pop(digest).cancel()
