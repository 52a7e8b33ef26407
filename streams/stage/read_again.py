"""Frames that wait without their bytes, read again from their topic in a thread of its own."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from infra.kafka.lookup import RecordLookup
from infra.kafka.records import ConsumedRecord
from infra.process import logs
from infra.settings import Settings
from schemas.coordinates import Coordinates
from schemas.errors import Unavailable

log = logs.get(__name__)

AGAIN_S = 1.0


class ReadAgain(Protocol):
    async def read(self, place: Coordinates) -> ConsumedRecord | None:
        """The record at that place; None when it is there no longer. Waits as long as the broker does not answer."""


class LookupThread:
    """`ReadAgain` by `infra.kafka.lookup`. For the event loop only."""

    def __init__(self, settings: Settings) -> None:
        self._lookup = RecordLookup(settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-again")

    async def read(self, place: Coordinates) -> ConsumedRecord | None:
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, place)
            except Unavailable as error:
                log.warning("a frame cannot be read again yet", error=str(error))
                await asyncio.sleep(AGAIN_S)

    def close(self) -> None:
        """Call it when nothing is written any more."""
        self._lookup.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _read(self, place: Coordinates) -> ConsumedRecord | None:
        return self._lookup.fetch(place.topic_partition, [place.offset]).get(place.offset)
