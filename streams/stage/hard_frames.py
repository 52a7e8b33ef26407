"""Works on frames of hard sources, beside the windows and without holding any of them up. For the event loop only."""

from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

from inference.image import Prepared, image_hash
from infra.failures.outcomes import FrameRecord
from infra.kafka.records import ConsumedRecord
from infra.process import metrics
from schemas import codec
from schemas.errors import BadFrame
from schemas.records import Frame
from streams.stage.frames import ParsedFrame
from streams.stage.hard_queue import HardFrame, HardQueue
from streams.stage.read_again import ReadAgain

Result = Prepared | Exception


class HardPool(Protocol):
    """The part of `streams.decode.pool.DecodePool` for images that take long."""

    async def run_hard(self, image: bytes, source: Hashable) -> Result: ...


@dataclass(frozen=True, slots=True)
class Around:
    """What a stage gives to `HardFrames`.

    `start` runs a coroutine as a task, and ends the process when that fails. `settle` is told what became of a frame;
    None: its partition belongs to another process now, which reads it anew. `is_alone`: no other source has frames.
    """

    start: Callable[[Coroutine[Any, Any, None]], None]
    settle: Callable[[HardFrame, Result | None], Awaitable[None]]
    is_alone: Callable[[], bool]


class HardFrames:
    """Decodes frames of hard sources one by one, and calls `settle` for each.

    At most `at_once` are at work, and of one source one fewer unless it is alone. At most `max_bytes` wait in memory.
    """

    def __init__(
        self,
        pool: HardPool,
        read_again: ReadAgain,
        around: Around,
        registry: codec.Registry | None,
        at_once: int,
        max_bytes: int,
    ) -> None:
        self._pool, self._read_again, self._around, self._registry = pool, read_again, around, registry
        self._at_once, self._at_work = at_once, 0
        self._queue = HardQueue(max_bytes)
        metrics.HARD_FRAMES.set_function(lambda: len(self._queue))

    def __contains__(self, source: Hashable) -> bool:
        """Whether frames of the source wait here or are at work; further ones must wait behind them."""
        return source in self._queue

    def add(self, frame: HardFrame) -> None:
        """A frame that was not begun."""
        self._queue.add(frame)
        self._fill()

    def caught(self, frame: HardFrame, result: Awaitable[Result]) -> None:
        """A frame that is being decoded and takes long."""
        self._queue.begin(frame)
        self._begin(frame, result)

    def _fill(self) -> None:
        while self._at_work < self._at_once:
            frame = self._queue.next(self._at_once if self._around.is_alone() else max(1, self._at_once - 1))
            if frame is None:
                return
            self._begin(frame, self._result(frame))

    def _begin(self, frame: HardFrame, result: Awaitable[Result | None]) -> None:
        self._at_work += 1
        self._around.start(self._work(frame, result))

    async def _work(self, frame: HardFrame, result: Awaitable[Result | None]) -> None:
        found = await result
        self._queue.done(frame)
        self._at_work -= 1
        self._fill()
        await self._around.settle(frame, found)

    async def _result(self, frame: HardFrame) -> Result | None:
        if not frame.pending.is_current():
            return None
        if frame.parsed is None:
            record = await self._read_again.read(frame.pending.record.source)
            if not frame.pending.is_current():
                return None
            frame.parsed = None if record is None else self._restored(frame, record)
        if frame.parsed is None:
            return BadFrame("frame_gone", "no longer in its topic, where it waited for the decoder")
        return await self._pool.run_hard(frame.parsed.frame.image, frame.source)

    def _restored(self, frame: HardFrame, record: ConsumedRecord) -> ParsedFrame | None:
        """The frame with its bytes; None where the record is another frame, because the topic was made again."""
        try:
            found = codec.decode(Frame, record.value, self._registry)
        except BadFrame:
            return None
        if image_hash(found.image) != frame.image_hash:
            return None
        frame.pending.record = FrameRecord.of(record)
        return ParsedFrame(frame.pending, found, frame.image_hash, frame.place)
