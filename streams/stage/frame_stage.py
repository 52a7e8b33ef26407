"""The data path of the stream stage: from the bytes of a window of frames to acknowledged outcomes."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Any, Protocol

from inference.cache.record import CachedLabel
from inference.image import image_hash
from infra.kafka.traces import FRAME_ID
from infra.process import metrics
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame, Stalled
from schemas.records import Frame
from streams.stage.frames import ParsedFrame, PendingFrame, check_fields
from streams.stage.gate import Gate
from streams.stage.hard_frames import Around, HardFrames, HardPool, Result
from streams.stage.hard_queue import HardFrame
from streams.stage.ordered_writer import OrderedWriter
from streams.stage.read_again import ReadAgain
from streams.stage.reports import Deliveries
from streams.stage.traces import FrameTraces
from streams.stage.windows import WindowBuilder
from streams.stage.writer import Outputs, Writer

# A window spans partitions and can give several batches, so the buffer is shared out among a few windows.
WINDOWS = 4
# While this many windows wait for the decode pool or are in it, closing one more would not decode a frame sooner.
BUSY_WINDOWS = 2
# Without a frame of any other source for so long, a hard source has all decoders.
ALONE_S = 2.0


class Cache(Protocol):
    """The part of `inference.cache.exact` that the stage uses. It raises nothing when Redis is unreachable."""

    async def lookup(self, hashes: Sequence[bytes]) -> list[CachedLabel | None]: ...


class Pool(HardPool, Protocol):
    """The part of `streams.decode.pool.DecodePool` that the stage uses."""

    async def run(
        self, images: Sequence[bytes], sources: Sequence[Hashable]
    ) -> "Sequence[Result | asyncio.Future[Result] | None]": ...


class FrameStage:
    """Takes frames, works on them in windows, and calls each frame's `finish` when the broker has its outcome.

    For the event loop only. `fail` is called with the error that must end the process: an output record that was
    refused for good, the breaker, a defect.
    """

    def __init__(
        self,
        outputs: Outputs,
        pool: Pool,
        cache: Cache | None,
        read_again: ReadAgain,
        fail: Callable[[BaseException], None],
    ) -> None:
        stream, self._loop = outputs.settings.stream, asyncio.get_running_loop()
        self._registry, self._pool, self._cache, self._fail = outputs.registry, pool, cache, fail
        deliveries = Deliveries(self._loop, lambda text: fail(Stalled(text)))
        self._writer = Writer(outputs, deliveries, self._finish)
        self._results = OrderedWriter(outputs, self._writer)
        self._traces = FrameTraces(outputs.settings.topic_prefix, outputs.lane)
        max_window_bytes = stream.max_buffer_bytes // WINDOWS
        self._builder = WindowBuilder[PendingFrame](
            max(1, stream.max_buffer_frames // WINDOWS), max_window_bytes, stream.batch_deadline_ms
        )
        around = Around(self._start, self._on_hard, self._defer, self._results.enter, self._has_only_hard)
        max_deferred = stream.max_frames_ahead // 4
        self._hard = HardFrames(
            pool, read_again, around, outputs.registry, stream.decoders, max_window_bytes, max_deferred
        )
        self._easy_s = 0.0  # when a frame of a source that is not hard was last decoded
        self._frames_read = metrics.FRAMES_READ.labels(outputs.lane)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._decoding = 0
        self.gate = Gate(stream.max_buffer_frames, stream.max_buffer_bytes)

    def take(self, pending: PendingFrame) -> None:
        """Take one frame. It is worked on after this returns; `pending.finish` reports that it has an outcome."""
        self.gate.hold(pending.size)
        self._traces.begin(pending)
        self._frames_read.inc(pending.gone is None)
        for window in self._builder.add(pending, pending.size, self._now_ms()):
            self._start(self.process(window))
        self._arm()

    def take_deferred(self, pending: PendingFrame) -> None:
        """Take a frame that was deferred, which comes without its bytes."""
        self.gate.hold_aside()
        self._traces.begin(pending)
        pending.is_aside = True
        self._hard.add_deferred(pending)

    def defer_before(self, limit: Coordinates) -> None:
        """Many frames were read past those of this partition with lower offsets: which wait for the decoder, defer."""
        self._hard.defer_before(limit)

    def defer_again(self, origin: Coordinates) -> None:
        """Many frames were read past the record on the retry topic that stands for this one. If it waits, defer it."""
        self._hard.defer_again(origin)

    def close_window(self) -> None:
        """Close the open window now, whatever its deadline."""
        for window in self._builder.close():
            self._start(self.process(window))

    async def process(self, window: list[PendingFrame]) -> None:
        """The path of every frame. Windows overlap; of each source, frames are written in the order of reading."""
        frames, misses = self._parse(window), []
        for parsed, cached in zip(frames, await self._look_up(frames), strict=True):
            if cached is None:
                misses.append(parsed)
            else:
                self._results.leave_out(parsed.place)
                await self._writer.label(parsed, cached)
        await self._decode(misses)
        await self._results.write()

    def _parse(self, window: list[PendingFrame]) -> list[ParsedFrame]:
        frames = []
        for pending in window:
            if pending.gone is not None:
                self._results.failed(pending, pending.gone)
                continue
            try:
                frame = codec.decode(Frame, pending.record.value, self._registry)
                check_fields(frame, pending.replay_id)
            except BadFrame as error:
                self._results.failed(pending, error)
                continue
            if pending.span is not None:
                pending.span.set({FRAME_ID: frame.frame_id})
            place = self._results.enter((pending.record.source.topic_partition, frame.source_id))
            frames.append(ParsedFrame(pending, frame, image_hash(frame.image), place))
        return frames

    async def _look_up(self, frames: list[ParsedFrame]) -> Sequence[CachedLabel | None]:
        if self._cache is None or not frames:
            return [None] * len(frames)
        return await self._cache.lookup([parsed.image_hash for parsed in frames])

    async def _decode(self, frames: list[ParsedFrame]) -> None:
        """Returns when the frames are decoded, except those of hard sources, which go a way of their own."""
        easy, hard = [], list[tuple[ParsedFrame, asyncio.Future[Result] | None]]()
        for parsed in frames:
            if parsed.source in self._hard:
                self._set_aside(parsed, None)
            else:
                easy.append(parsed)
        self._decoding += 1
        results = await self._pool.run([parsed.frame.image for parsed in easy], [parsed.source for parsed in easy])
        self._decoding -= 1
        self._on_deadline()
        for parsed, result in zip(easy, results, strict=True):
            if result is None or isinstance(result, asyncio.Future):
                hard.append((parsed, result))
                continue
            self._easy_s = self._loop.time()
            if isinstance(result, Exception):
                self._results.failed(parsed.pending, result, parsed.place)
            else:
                self._results.decoded(parsed, result)
        for parsed, begun in hard:
            self._set_aside(parsed, begun)

    def _set_aside(self, parsed: ParsedFrame, begun: "asyncio.Future[Result] | None") -> None:
        self.gate.set_aside(parsed.pending.size)
        parsed.pending.is_aside = True
        if begun is None:
            self._hard.add(HardFrame.of(parsed))
        else:
            self._hard.caught(HardFrame.of(parsed), begun)

    async def _on_hard(self, frame: HardFrame, result: Result | None) -> None:
        if result is None:
            if frame.place is not None:
                self._results.leave_out(frame.place)
            self._finish([frame.pending])
        elif isinstance(result, Exception):
            self._results.failed(frame.pending, result, frame.place)
        else:
            assert frame.parsed is not None
            self._results.decoded(frame.parsed, result)
        await self._results.write()

    async def _defer(self, frame: HardFrame) -> None:
        if frame.place is not None:
            self._results.leave_out(frame.place)
        await self._writer.defer(frame.pending)
        await self._results.write()

    def _has_only_hard(self) -> bool:
        return self._loop.time() - self._easy_s > ALONE_S

    def _finish(self, frames: list[PendingFrame]) -> None:
        for pending in frames:
            if pending.span is not None:
                pending.span.end()
            if pending.is_aside:
                self.gate.release_aside()
            else:
                self.gate.release(pending.size)
            pending.finish()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - any error here ends the process
            self._fail(error)

    def _arm(self) -> None:
        due_ms = self._builder.due_ms
        if due_ms is not None and self._timer is None:
            self._timer = self._loop.call_at(due_ms / 1000, self._on_deadline)

    def _on_deadline(self) -> None:
        """Close the window whose deadline has passed. While the pool is busy the window stays open and fills up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._decoding >= BUSY_WINDOWS:
            return
        for window in self._builder.close_due(self._now_ms()):
            self._start(self.process(window))
        self._arm()

    def _now_ms(self) -> float:
        return self._loop.time() * 1000
