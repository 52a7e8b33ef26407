"""Works on frames of hard sources, beside the windows and without holding any of them up. For the event loop only."""

from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from inference.image import Prepared, image_hash
from infra.failures.outcomes import FrameRecord
from infra.kafka.records import ConsumedRecord
from infra.process import metrics
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame
from schemas.records import Frame
from streams.stage.frames import ParsedFrame, PendingFrame, PreparedFrame, check_fields
from streams.stage.hard_queue import HardFrame, HardQueue
from streams.stage.read_again import ReadAgain
from streams.stage.write_order import Place

Result = Prepared | Exception


class HardPool(Protocol):
    """The part of `streams.decode.pool.DecodePool` for images that take long."""

    async def run_hard(self, image: bytes, source: Hashable) -> Result: ...


@dataclass(frozen=True, slots=True)
class Around:
    """What a stage gives to `HardFrames`.

    `start` runs a coroutine as a task, and ends the process when that fails. `settle` is told what became of a frame;
    None: its partition belongs to another process now, which reads it anew. `defer` writes a frame to the retry topic,
    where it waits from then on. `enter` gives a place in the order of writing. `is_alone`: no other source has frames.
    """

    start: Callable[[Coroutine[Any, Any, None]], None]
    settle: Callable[[HardFrame, Result | None], Awaitable[None]]
    defer: Callable[[HardFrame], Coroutine[Any, Any, None]]
    enter: Callable[[Hashable], Place[PreparedFrame]]
    is_alone: Callable[[], bool]


class HardFrames:
    """Decodes frames of hard sources one by one, and calls `settle` for each.

    At most `at_once` are at work, and of one source one fewer unless it is alone. At most `max_bytes` wait in memory,
    and at most `max_deferred` deferred frames; more become dead letters, of the source that has the most.
    """

    def __init__(
        self,
        pool: HardPool,
        read_again: ReadAgain,
        around: Around,
        registry: codec.Registry | None,
        at_once: int,
        max_bytes: int,
        max_deferred: int,
    ) -> None:
        self._pool, self._read_again, self._around, self._registry = pool, read_again, around, registry
        self._at_once, self._at_work = at_once, 0
        self._queue = HardQueue(max_bytes, max_deferred)
        metrics.HARD_FRAMES.set_function(lambda: len(self._queue))

    def __contains__(self, source: Hashable) -> bool:
        """Whether frames of the source wait here or are at work; further ones must wait behind them."""
        return source in self._queue

    def add(self, frame: HardFrame) -> None:
        """A frame that was not begun."""
        self._queue.add(frame)
        self._fill()

    def add_deferred(self, pending: PendingFrame) -> None:
        """A frame that was deferred, from the retry topic and without its bytes."""
        gave_way = self._queue.add_deferred(HardFrame.deferred(pending))
        if gave_way is not None:
            self._around.start(self._give_up(gave_way))
        self._fill()

    def defer_before(self, limit: Coordinates) -> None:
        """Frames of that partition with lower offsets wait on the retry topic from now on, if they are not begun."""
        for frame in self._queue.take_before(limit):
            self._defer(frame)

    def defer_again(self, origin: Coordinates) -> None:
        """If the deferred frame with this origin waits and is the next of its source, it gets a new record there."""
        frame = self._queue.take_deferred(origin)
        if frame is not None:
            self._defer(frame)

    def _defer(self, frame: HardFrame) -> None:
        frame.drop_bytes()
        self._around.start(self._around.defer(frame))

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

    async def _give_up(self, frame: HardFrame) -> None:
        found = await self._read(frame)
        if found is not None:
            detail = "pictures of its source take the decoder long, and too many of such frames wait already"
            found = found if isinstance(found, BadFrame) else BadFrame("decoder_behind", detail)
        await self._around.settle(frame, found)

    async def _result(self, frame: HardFrame) -> Result | None:
        found = await self._read(frame)
        if not isinstance(found, ParsedFrame):
            return found
        return await self._pool.run_hard(found.frame.image, frame.source)

    async def _read(self, frame: HardFrame) -> ParsedFrame | BadFrame | None:
        """The frame with its bytes, or why it has none; None where its partition belongs to another process now."""
        if frame.pending.is_current() and frame.parsed is None:
            record = await self._read_again.read(frame.origin)
            frame.parsed = None if record is None else self._restored(frame, record)
        if not frame.pending.is_current():
            return None
        return frame.parsed or BadFrame("frame_gone", "no longer in its topic, where it waited for the decoder")

    def _restored(self, frame: HardFrame, record: ConsumedRecord) -> ParsedFrame | None:
        """The frame with its bytes; None where the record is another frame, because the topic was made again."""
        try:
            found = codec.decode(Frame, record.value, self._registry)
            check_fields(found, frame.pending.replay_id)
        except BadFrame:
            return None
        if frame.image_hash is None:
            is_same = record.timestamp_ms == frame.pending.record.timestamp_ms
        else:
            is_same = image_hash(found.image) == frame.image_hash
        if not is_same:
            return None
        if frame.place is None:
            frame.place = self._around.enter((frame.origin.topic_partition, found.source_id))
        frame.pending.record = replace(FrameRecord.of(record), attempt=frame.pending.record.attempt)
        return ParsedFrame(frame.pending, found, image_hash(found.image), frame.place)
