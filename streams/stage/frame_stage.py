"""The data path of the stream stage: from the bytes of a window of frames to acknowledged outcomes."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from inference.cache.record import CachedLabel
from inference.image import Prepared, image_hash
from infra.failures.breaker import Breaker
from infra.failures.outcomes import error_class_of
from infra.process import metrics
from schemas import codec
from schemas.errors import BadFrame, Stalled
from schemas.records import Frame, PixelEncoding
from streams.stage.frames import FailedFrame, ParsedFrame, PendingFrame, PreparedFrame, check_fields
from streams.stage.gate import Gate
from streams.stage.packing import PackedBatch, pack
from streams.stage.reports import Deliveries
from streams.stage.windows import WindowBuilder
from streams.stage.write_order import Turn, WriteOrder
from streams.stage.writer import RECORD_OVERHEAD_BYTES, Outputs, Writer

# A window spans partitions and can give several batches, so the buffer is shared out among a few windows.
WINDOWS = 4
# While this many windows wait for the decode pool or are in it, closing one more would not decode a frame sooner.
BUSY_WINDOWS = 2


class Cache(Protocol):
    """The part of `inference.cache.exact` that the stage uses. It raises nothing when Redis is unreachable."""

    async def lookup(self, hashes: Sequence[bytes]) -> list[CachedLabel | None]: ...


class Pool(Protocol):
    """The part of `streams.decode.pool.DecodePool` that the stage uses."""

    async def run(self, images: Sequence[bytes]) -> Sequence[Prepared | Exception]: ...


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
        fail: Callable[[BaseException], None],
    ) -> None:
        stream, self._loop = outputs.settings.stream, asyncio.get_running_loop()
        self._stream, self._lane, self._registry = stream, outputs.lane, outputs.registry
        self._pool, self._cache, self._fail = pool, cache, fail
        self._max_batch_bytes = min(
            stream.max_batch_bytes, outputs.settings.topics.max_frame_bytes - RECORD_OVERHEAD_BYTES
        )
        deliveries = Deliveries(self._loop, lambda text: fail(Stalled(text)))
        self._writer = Writer(outputs, deliveries, self._finish)
        self._breaker = Breaker(outputs.settings.breaker)
        self._builder = WindowBuilder[PendingFrame](
            max(1, stream.max_buffer_frames // WINDOWS), stream.max_buffer_bytes // WINDOWS, stream.batch_deadline_ms
        )
        self._write_order = WriteOrder()
        self._frames_read = metrics.FRAMES_READ.labels(outputs.lane)
        self._windows: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._decoding = 0
        self.gate = Gate(stream.max_buffer_frames, stream.max_buffer_bytes)

    def take(self, pending: PendingFrame) -> None:
        """Take one frame. It is worked on after this returns; `pending.finish` reports that it has an outcome."""
        self.gate.hold(pending.size)
        self._frames_read.inc(pending.gone is None)
        for window in self._builder.add(pending, pending.size, self._now_ms()):
            self._start(window)
        self._arm()

    def close_window(self) -> None:
        """Close the open window now, whatever its deadline."""
        for window in self._builder.close():
            self._start(window)

    async def process(self, window: list[PendingFrame], turn: Turn) -> None:
        """The path of every frame. Windows overlap; `turn` keeps the order of what they write for each partition."""
        frames, failed = self._parse(window)
        misses: list[ParsedFrame] = []
        for parsed, cached in zip(frames, await self._look_up(frames), strict=True):
            if cached is None:
                misses.append(parsed)
            else:
                await self._writer.label(parsed, cached)
        prepared = await self._prepare(misses, failed)
        await turn.wait()
        self._judge(len(window) - len(failed), failed)
        for failure in failed:
            await self._writer.failure(failure)
        for packed in self._pack(prepared):
            await self._writer.batch(packed)
        turn.pass_on()

    def _parse(self, window: list[PendingFrame]) -> tuple[list[ParsedFrame], list[FailedFrame]]:
        frames, failed = [], []
        for pending in window:
            if pending.gone is not None:
                failed.append(FailedFrame(pending, pending.gone))
                continue
            try:
                frame = codec.decode(Frame, pending.record.value, self._registry)
                check_fields(frame, pending.replay_id)
                frames.append(ParsedFrame(pending, frame, image_hash(frame.image)))
            except BadFrame as error:
                failed.append(FailedFrame(pending, error))
        return frames, failed

    async def _look_up(self, frames: list[ParsedFrame]) -> Sequence[CachedLabel | None]:
        if self._cache is None or not frames:
            return [None] * len(frames)
        return await self._cache.lookup([parsed.image_hash for parsed in frames])

    async def _prepare(self, misses: list[ParsedFrame], failed: list[FailedFrame]) -> list[PreparedFrame]:
        """The frames whose image was decoded; the others are added to `failed`."""
        prepared = []
        self._decoding += 1
        results = await self._pool.run([parsed.frame.image for parsed in misses])
        self._decoding -= 1
        self._on_deadline()
        for parsed, result in zip(misses, results, strict=True):
            if isinstance(result, Exception):
                failed.append(FailedFrame(parsed.pending, result))
            else:
                prepared.append(PreparedFrame(parsed.pending, parsed.frame, parsed.image_hash, result))
        return prepared

    def _judge(self, good: int, failed: list[FailedFrame]) -> None:
        """Raises Stalled when nearly all frames fail, before further dead letters are written."""
        for _ in range(good):
            self._breaker.record()
        for failure in failed:
            if failure.pending.gone is None:
                self._breaker.record(error_class_of(failure.error))
        verdict = self._breaker.verdict() if failed else None
        if verdict is not None:
            raise Stalled(verdict)

    def _pack(self, prepared: list[PreparedFrame]) -> list[PackedBatch]:
        stream = self._stream
        encoding = PixelEncoding(stream.encoding)
        return pack(prepared, self._lane, encoding, stream.max_batch_frames, self._max_batch_bytes)

    def _finish(self, frames: list[PendingFrame]) -> None:
        for pending in frames:
            self.gate.release(pending.size)
            pending.finish()

    def _start(self, window: list[PendingFrame]) -> None:
        task = self._loop.create_task(self._guarded(window, self._write_order.next_turn()))
        self._windows.add(task)
        task.add_done_callback(self._windows.discard)

    async def _guarded(self, window: list[PendingFrame], turn: Turn) -> None:
        try:
            await self.process(window, turn)
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
            self._start(window)
        self._arm()

    def _now_ms(self) -> float:
        return self._loop.time() * 1000
