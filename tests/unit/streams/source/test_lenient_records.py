"""What Kafka hands over is read record by record, whatever bytes their headers are named by."""

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.source.lenient_records import Records

PLACE = TopicPartition("frames.raw", 0)
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

Written = tuple[bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]
Read = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
records = st.tuples(
    st.none() | st.binary(max_size=8),
    st.none() | st.binary(max_size=200),
    st.lists(st.tuples(st.binary(max_size=12), st.none() | st.binary(max_size=8)), max_size=4),
)


class Name(str):
    """A header's name that is on the wire as its bytes are; other programs write what Python's clients refuse."""

    def __new__(cls, raw: bytes) -> "Name":
        made = super().__new__(cls, raw.decode("latin-1"))
        made.raw = raw
        return made

    raw: bytes

    def encode(self, *_: Any) -> bytes:
        return self.raw


def batch(first_offset: int, written: list[Written], codec: int = 0) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, 1 << 30)
    for number, (key, value, headers) in enumerate(written):
        builder.append(number, 7, key, value, [(Name(name), text) for name, text in headers])
    return first_offset.to_bytes(8) + bytes(builder.build())[8:]


def read(data: bytes, from_offset: int = 0) -> list[Read]:
    """As aiokafka's fetcher reads a partition's part of an answer."""
    found = fetcher.PartitionRecords(PLACE, Records(data), [], from_offset, None, None, False, fetcher.READ_COMMITTED)
    return [(each.offset, each.key, each.value, list(each.headers)) for each in found]


def as_text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


@given(batches=st.lists(st.lists(records, min_size=1, max_size=5), min_size=1, max_size=3), data=st.data())
def test_every_record_of_every_batch_is_read(batches: list[list[Written]], data: st.DataObject) -> None:
    raw = b""
    wanted: list[Read] = []
    for written in batches:
        raw += batch(len(wanted), written, data.draw(st.sampled_from(list(CODECS.values()))))
        for key, value, headers in written:
            wanted.append((len(wanted), key, value, [(as_text(name), text) for name, text in headers]))
    start = data.draw(st.integers(0, len(batches[0]) - 1))
    assert read(raw, start) == wanted[start:]
    assert read(raw[:-1]) == wanted[: -len(batches[-1])], "an answer may end in the middle of a batch"


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_name_that_is_no_utf8_is_written_out(codec: int) -> None:
    good: Written = (b"dock-1", b"a frame", [(b"traceparent", b"00-1")])
    odd: Written = (
        b"dock-1",
        b"another",
        [(b"n\xe4me", b"x"), (b"sightline-replay-id", b"r7"), ("größe".encode(), None)],
    )
    raw = batch(0, [good, odd, good, odd], codec)
    with pytest.raises(UnicodeDecodeError):
        list(DefaultRecordBatch(raw))  # aiokafka learned it: streams/source/lenient_records.py can go
    assert [len(headers) for *_, headers in read(raw)] == [1, 3, 1, 3]
    assert read(raw)[1] == (
        1,
        b"dock-1",
        b"another",
        [("n\\xe4me", b"x"), ("sightline-replay-id", b"r7"), ("größe", None)],
    )


def test_what_is_broken_beyond_a_name_is_not_read_as_something_else() -> None:
    raw = bytearray(batch(0, [(b"k", b"v", [(b"n\xff", b"x")])]))
    raw[-2] = 0x7E  # the length of the header's value
    with pytest.raises(CorruptRecordException):
        read(bytes(raw))
