"""The data path of the stream stage: what becomes of a window of frames, from bytes to acknowledged outcomes."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from inference.cache.record import CachedLabel
from inference.image import Prepared, image_hash
from infra.failures.breaker import Breaker
from infra.failures.outcomes import error_class_of
from infra.process import logs, metrics
from schemas import codec
from schemas.errors import BadFrame, Stalled
from schemas.records import Frame, PixelEncoding
from streams.stage.frames import Taken, check_fields
from streams.stage.gate import Gate
from streams.stage.packing import Packed, Ready, pack
from streams.stage.reports import Deliveries
from streams.stage.windows import Batcher
from streams.stage.write_order import Turn, Turns
from streams.stage.writer import RECORD_OVERHEAD_BYTES, Outputs, Writer

log = logs.get(__name__)

WINDOWS = 4
# While this many windows wait for or are in the decode pool, closing another one would not get a frame decoded sooner.
BUSY_WINDOWS = 2


class Cache(Protocol):
    """What is needed of `inference.cache.exact`: it never raises for a Redis that is away."""

    async def lookup(self, hashes: Sequence[bytes]) -> list[CachedLabel | None]: ...


class Pool(Protocol):
    """What is needed of `DecodePool`."""

    async def run(self, images: Sequence[bytes]) -> Sequence[Prepared | Exception]: ...


@dataclass(frozen=True, slots=True)
class Read:
    """A record that holds a Frame."""

    taken: Taken
    frame: Frame
    image_hash: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """A record that will give no label now, and why."""

    taken: Taken
    error: Exception


class Stage:
    """Takes frames, in windows, and calls each one's `finish` once its outcome is on the broker. Event loop only.

    `fail` is called with what the process must end with: an output that was finally refused, the breaker, a defect.
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
        # A window spans partitions, so it may hold several batches; a few windows fit into the buffer.
        self._batcher = Batcher[Taken](
            max(1, stream.max_buffer_frames // WINDOWS), stream.max_buffer_bytes // WINDOWS, stream.batch_deadline_ms
        )
        self._turns = Turns()
        self._frames_read = metrics.FRAMES_READ.labels(outputs.lane)
        self._windows: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._decoding = 0
        self.gate = Gate(stream.max_buffer_frames, stream.max_buffer_bytes)

    def take(self, taken: Taken) -> None:
        """Take one frame. Returning does not mean that it was looked at; `taken.finish` tells when it is done with."""
        self.gate.hold(taken.size)
        self._frames_read.inc()
        for window in self._batcher.add(taken, taken.size, self._now_ms()):
            self._start(window)
        self._arm()

    def close_window(self) -> None:
        """Let no frame wait for others any longer."""
        for window in self._batcher.close():
            self._start(window)

    async def process(self, window: list[Taken], turn: Turn) -> None:
        """The way of every frame. Windows overlap; what they write per partition keeps their order (`turn`)."""
        frames, failed = self._read(window)
        misses: list[Read] = []
        for read, cached in zip(frames, await self._look_up(frames), strict=True):
            if cached is None:
                misses.append(read)
            else:
                await self._writer.label(read.taken, read.frame, cached)
        ready = await self._prepare(misses, failed)
        await turn.come()
        self._judge(len(window) - len(failed), failed)
        for failure in failed:
            await self._writer.failure(failure.taken, failure.error)
        for packed in self._pack(ready):
            await self._writer.batch(packed)
        turn.pass_on()

    def _read(self, window: list[Taken]) -> tuple[list[Read], list[Failed]]:
        frames, failed = [], []
        for taken in window:
            try:
                frame = codec.decode(Frame, taken.record.value, self._registry)
                check_fields(frame, taken.replay_id)
                frames.append(Read(taken, frame, image_hash(frame.image)))
            except BadFrame as error:
                failed.append(Failed(taken, error))
        return frames, failed

    async def _look_up(self, frames: list[Read]) -> Sequence[CachedLabel | None]:
        if self._cache is None or not frames:
            return [None] * len(frames)
        return await self._cache.lookup([read.image_hash for read in frames])

    async def _prepare(self, misses: list[Read], failed: list[Failed]) -> list[Ready]:
        """Pixels of the sound ones; the others are added to `failed`."""
        ready = []
        self._decoding += 1
        results = await self._pool.run([read.frame.image for read in misses])
        self._decoding -= 1
        self._on_deadline()
        for read, result in zip(misses, results, strict=True):
            if isinstance(result, Exception):
                failed.append(Failed(read.taken, result))
            else:
                ready.append(_ready(read, result))
        return ready

    def _judge(self, good: int, failed: list[Failed]) -> None:
        """Raises Stalled when nearly everything fails, before more dead letters are written."""
        for _ in range(good):
            self._breaker.record()
        for failure in failed:
            self._breaker.record(error_class_of(failure.error))
        verdict = self._breaker.verdict() if failed else None
        if verdict is not None:
            raise Stalled(verdict)

    def _pack(self, ready: list[Ready]) -> list[Packed]:
        stream = self._stream
        encoding = PixelEncoding(stream.encoding)
        return pack(ready, self._lane, encoding, stream.max_batch_frames, self._max_batch_bytes)

    def _finish(self, frames: list[Taken]) -> None:
        for taken in frames:
            self.gate.release(taken.size)
            taken.finish()

    def _start(self, window: list[Taken]) -> None:
        task = self._loop.create_task(self._guarded(window, self._turns.next()))
        self._windows.add(task)
        task.add_done_callback(self._windows.discard)

    async def _guarded(self, window: list[Taken], turn: Turn) -> None:
        try:
            await self.process(window, turn)
        except Exception as error:  # noqa: BLE001 - whatever it is, the process ends with it
            self._fail(error)

    def _arm(self) -> None:
        due_ms = self._batcher.due_ms
        if due_ms is not None and self._timer is None:
            self._timer = self._loop.call_at(due_ms / 1000, self._on_deadline)

    def _on_deadline(self) -> None:
        """Close the window whose time has come; while the pool is busy it may fill up instead."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._decoding >= BUSY_WINDOWS:
            return
        for window in self._batcher.close_due(self._now_ms()):
            self._start(window)
        self._arm()

    def _now_ms(self) -> float:
        return self._loop.time() * 1000


def _ready(read: Read, prepared: Prepared) -> Ready:
    return Ready(
        read.taken, read.frame, read.image_hash, prepared.pixels, prepared.width, prepared.height, prepared.quality
    )
