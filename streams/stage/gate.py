"""The gate before the next frame is taken: closed while this process holds enough, or the workers are behind.

It stands BEFORE the stream is asked for its next event, so that a stage that waits for others holds no frame
that Faust would have to wait for in a rebalance.
"""

import asyncio
from enum import StrEnum

from infra.process import metrics


class Reason(StrEnum):
    BUFFER = "buffer"
    BACKLOG = "backlog"
    STOPPING = "stopping"


class Gate:
    """Open unless a reason says otherwise. Frames and bytes held are counted here; used by the event loop only."""

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self._max_frames, self._max_bytes = max_frames, max_bytes
        self._frames = self._bytes = 0
        self._closed: set[Reason] = set()
        self._open = asyncio.Event()
        self._open.set()
        metrics.BUFFER_BYTES.set_function(lambda: self._bytes)

    def hold(self, size: int) -> None:
        """A frame was taken. The last one taken may go over the limit: its size is known only then."""
        self._frames += 1
        self._bytes += size
        self._weigh()

    def release(self, size: int) -> None:
        """A frame has left this process."""
        self._frames -= 1
        self._bytes -= size
        self._weigh()

    def set(self, reason: Reason, closed: bool) -> None:
        if closed == (reason in self._closed):
            return
        (self._closed.add if closed else self._closed.discard)(reason)
        metrics.PAUSED.labels(reason.value).set(int(closed))
        if self._closed:
            self._open.clear()
        else:
            self._open.set()

    async def wait(self) -> None:
        """Wait until the next frame may be taken."""
        await self._open.wait()

    @property
    def frames(self) -> int:
        return self._frames

    @property
    def is_open(self) -> bool:
        """For a look from another thread: `wait` is what the event loop goes by."""
        return not self._closed

    def _weigh(self) -> None:
        self.set(Reason.BUFFER, self._frames >= self._max_frames or self._bytes >= self._max_bytes)
