"""The gate in front of the stage: closed while the stage holds enough frames, or while the workers are behind.

The gate is passed before Faust is asked for the next event. A stage that waits therefore holds no event that Faust
would have to wait for in a rebalance.
"""

import asyncio
from enum import StrEnum

from infra.process import metrics


class Reason(StrEnum):
    """Why the gate is closed; the values are those of the metric's label."""

    BUFFER = "buffer"
    BACKLOG = "backlog"
    STOPPING = "stopping"


class Gate:
    """Open while no reason closes it. Counts the frames and bytes that the stage holds. For the event loop only."""

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self._max_frames, self._max_bytes = max_frames, max_bytes
        self._frames = self._bytes = self._aside = 0
        self._closed: set[Reason] = set()
        self._open = asyncio.Event()
        self._open.set()
        metrics.BUFFER_BYTES.set_function(lambda: self._bytes)
        metrics.QUEUE_FRAMES.labels("buffer").set_function(lambda: self.frames)
        metrics.QUEUE_BYTES.labels("buffer").set_function(lambda: self._bytes)

    def hold(self, size: int) -> None:
        """A frame was taken. The last one may exceed the limit: its size is known only once it is taken."""
        self._frames += 1
        self._bytes += size
        self._weigh()

    def release(self, size: int) -> None:
        """A frame has its outcome and is no longer held."""
        self._frames -= 1
        self._bytes -= size
        self._weigh()

    def set_aside(self, size: int) -> None:
        """A held frame is of a hard source, whose frames have a limit of their own."""
        self.release(size)
        self._aside += 1

    def hold_aside(self) -> None:
        """A frame of a hard source was taken without its bytes."""
        self._aside += 1

    def release_aside(self) -> None:
        """A frame that was set aside has its outcome."""
        self._aside -= 1

    def set(self, reason: Reason, closed: bool) -> None:
        """Close the gate for this reason, or withdraw the reason; the gate opens when none is left."""
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
        """How many frames have no outcome yet, those set aside included. Any thread may ask."""
        return self._frames + self._aside

    @property
    def is_open(self) -> bool:
        """Whether a frame may be taken now. Any thread may ask; the event loop uses `wait`."""
        return not self._closed

    @property
    def is_behind(self) -> bool:
        """Whether it is closed because the workers are behind. Any thread may ask."""
        return Reason.BACKLOG in self._closed

    def _weigh(self) -> None:
        self.set(Reason.BUFFER, self._frames >= self._max_frames or self._bytes >= self._max_bytes)
