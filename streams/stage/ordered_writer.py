"""Results of frames, written as soon as their turn has come: micro-batches, retries, dead letters."""

import asyncio
from collections.abc import Hashable

from inference.image import Prepared
from infra.failures.breaker import Breaker
from infra.failures.outcomes import error_class_of
from schemas.errors import Stalled
from schemas.records import PixelEncoding
from streams.stage.frames import FailedFrame, ParsedFrame, PendingFrame, PreparedFrame
from streams.stage.packing import pack
from streams.stage.write_order import Place, WriteOrder
from streams.stage.writer import RECORD_OVERHEAD_BYTES, Outputs, Writer


class OrderedWriter:
    """Prepared frames of a source are written in the order of `enter`; failed ones at the next `write`."""

    def __init__(self, outputs: Outputs, writer: Writer) -> None:
        settings = outputs.settings
        self._stream, self._lane, self._writer = settings.stream, outputs.lane, writer
        self._max_batch_bytes = min(
            settings.stream.max_batch_bytes, settings.topics.max_frame_bytes - RECORD_OVERHEAD_BYTES
        )
        self._breaker = Breaker(settings.breaker)
        self._order = WriteOrder[PreparedFrame]()
        self._failed: list[FailedFrame] = []
        self._one_at_a_time = asyncio.Lock()
        self._error: Exception | None = None

    def enter(self, source: Hashable) -> Place[PreparedFrame]:
        """A frame of the source was read, after those for which this was called before."""
        return self._order.enter(source)

    def leave_out(self, place: Place[PreparedFrame]) -> None:
        """The frame has its label from the cache, or is not wanted any more."""
        self._order.settle(place)

    def decoded(self, parsed: ParsedFrame, prepared: Prepared) -> None:
        self._breaker.record()
        self._order.settle(parsed.place, PreparedFrame(parsed.pending, parsed.frame, parsed.image_hash, prepared))

    def failed(self, pending: PendingFrame, error: Exception, place: Place[PreparedFrame] | None = None) -> None:
        """The frame gets no label now. A frame that cannot be parsed has no place."""
        if pending.gone is None:  # what is gone says nothing of the frames that are there
            self._breaker.record(error_class_of(error))
        self._failed.append(FailedFrame(pending, error))
        if place is not None:
            self._order.settle(place)

    async def write(self) -> None:
        """Write what is ready; returns when the producer has it. One call at a time writes, in the order of the calls.

        Raises Stalled when nearly all frames fail, before further dead letters are written. After an error nothing is
        written any more: it would overtake what the call that failed did not write.
        """
        async with self._one_at_a_time:
            if self._error is not None:
                raise self._error
            try:
                await self._write()
            except Exception as error:
                self._error = error
                raise

    async def _write(self) -> None:
        failed, self._failed = self._failed, []
        verdict = self._breaker.verdict() if failed else None
        if verdict is not None:
            raise Stalled(verdict)
        for failure in failed:
            await self._writer.failure(failure)
        stream, ready = self._stream, self._order.take()
        encoding = PixelEncoding(stream.encoding)
        for packed in pack(ready, self._lane, encoding, stream.max_batch_frames, self._max_batch_bytes):
            await self._writer.batch(packed)
