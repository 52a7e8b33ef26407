"""A tolerant parser of fetched records for aiokafka, because other producers write to our topics too.

To a broker the name of a header is any bytes. aiokafka decodes it as UTF-8, and when that fails it gives up the batch
and everything behind it: one record would block its partition for ever.
"""

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy, decode_varint
from aiokafka.record.memory_records import _MemoryRecordsPy


def install() -> None:
    """Make every aiokafka consumer of this process parse with `Records`; aiokafka has no setting for it."""
    fetcher.MemoryRecords = Records


class Records(_MemoryRecordsPy):  # type: ignore[misc]
    """The batches of one fetch, in order. Raises CorruptRecordException for bytes that are no batch."""

    def next_batch(self, *args: Any) -> Any:
        raw = self._next_slice
        batch = super().next_batch(*args)
        return _Batch(batch, raw) if raw is not None and isinstance(batch, DefaultRecordBatch) else batch


class _Batch:
    """A batch that gives all its records: aiokafka's parser in C reads up to the first that it cannot parse."""

    def __init__(self, batch: DefaultRecordBatch, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                read += 1
                yield record
        except (UnicodeDecodeError, CorruptRecordException):
            yield from islice(_Lenient(self._raw), read, None)


class _Lenient(_DefaultRecordBatchPy):  # type: ignore[misc]
    """Parses what brokers accept: header names of any bytes, and any byte as attributes, which are no varint."""

    def __iter__(self) -> "_Lenient":
        super().__iter__()
        self._buffer: bytearray = _AnyText(self._buffer)
        return self

    def _read_msg(self) -> Any:
        reads = count()

        def read(buffer: bytearray, at: int) -> tuple[int, int]:
            is_attributes = next(reads) == 1  # the second number read; the first is the record's length
            return (buffer[at], at + 1) if is_attributes else decode_varint(buffer, at)

        return super()._read_msg(read)


class _AnyText(bytearray):
    """Bytes of which every slice decodes: bytes that are no UTF-8 become an escape such as `\\xff`."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return found if isinstance(found, int) else _AnyText(found)

    def decode(self, *_: Any) -> str:
        return super().decode("utf-8", "backslashreplace")
