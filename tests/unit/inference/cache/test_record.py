"""The bytes of a cached label: what goes in comes out, and everything else is a miss."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.cache.record import MAX_FLAGS_BYTES, CachedLabel, decode, encode
from schemas.records import Prediction, Quality

CLASSES = tuple((str(index), f"class {index}") for index in range(1000))
INDEX_OF = {class_id: index for index, (class_id, _) in enumerate(CLASSES)}
numbers = st.floats(allow_nan=False, allow_infinity=False)
predictions = st.builds(
    lambda index, probability: Prediction(str(index), f"class {index}", probability),
    st.integers(0, 999),
    st.floats(0, 1, width=32),
)
flags = st.text("abcdefghij_", min_size=1, max_size=12)
labels = st.builds(
    CachedLabel,
    st.lists(predictions, max_size=20).map(tuple),
    st.builds(Quality, numbers, numbers, numbers, st.lists(flags, max_size=6).map(tuple)),
)


def written(label: CachedLabel) -> bytes:
    data = encode(label, INDEX_OF)
    assert data is not None
    return data


LABEL = CachedLabel((Prediction("7", "class 7", 0.5),), Quality(1.5, 2.5, 3.5, ("dark", "flat")))
WRITTEN = written(LABEL)


@given(labels)
def test_round_trip_is_exact(label: CachedLabel) -> None:
    assert decode(written(label), CLASSES) == label


def test_an_entry_of_the_versions_before_is_read_as_ever() -> None:
    """No decision is in it, and no score: each hit is decided anew."""
    before = "010109000000000000f83f00000000000004400000000000000c40070000000000003f6461726b2c666c6174b06899f6"
    assert bytes.fromhex(before) == WRITTEN
    assert decode(bytes.fromhex(before), CLASSES) == LABEL


def test_five_predictions_are_small() -> None:
    five = CachedLabel(tuple(Prediction(str(each), f"class {each}", 0.25) for each in range(5)), Quality(1.0, 2.0, 3.0))
    assert len(written(five)) == 71


@given(st.binary(max_size=200))
def test_foreign_bytes_are_a_miss(data: bytes) -> None:
    assert decode(data, CLASSES) is None


@given(st.integers(0, 8 * len(WRITTEN) - 1))
def test_one_flipped_bit_is_a_miss(bit: int) -> None:
    data = bytearray(WRITTEN)
    data[bit // 8] ^= 1 << bit % 8
    assert decode(bytes(data), CLASSES) is None


@pytest.mark.parametrize("size", range(len(WRITTEN)))
def test_cut_bytes_are_a_miss(size: int) -> None:
    assert decode(WRITTEN[:size], CLASSES) is None


def test_another_format_or_another_model_s_classes_are_a_miss() -> None:
    assert decode(WRITTEN, CLASSES[:7]) is None
    body = b"\x02" + WRITTEN[1:-4]
    assert decode(body + struct.pack("<I", zlib.crc32(body)), CLASSES) is None
    body = WRITTEN[:-4] + b"x"
    assert decode(body + struct.pack("<I", zlib.crc32(body)), CLASSES) is None


def test_flags_that_their_byte_cannot_count_are_not_written() -> None:
    for count, fits in ((MAX_FLAGS_BYTES, True), (MAX_FLAGS_BYTES + 1, False)):
        label = CachedLabel((), Quality(1.0, 2.0, 3.0, ("f" * (count - 2), "g")))
        assert (encode(label, INDEX_OF) is not None) is fits
