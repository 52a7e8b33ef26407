"""The records of `__consumer_offsets`: each version, and records that are cut off."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.commit_log import CommitRecord, GroupRemoved, commit_record
from schemas.coordinates import TopicPartition


def text(value: str) -> bytes:
    return struct.pack(">h", len(value.encode())) + value.encode()


def key(version: int = 1, group: str = "g", topic: str = "frames.raw", partition: int = 3) -> bytes:
    return struct.pack(">h", version) + text(group) + text(topic) + struct.pack(">i", partition)


def value(version: int, offset: int = 42, at_ms: int = 1_790_000_000_000, note: str = "note") -> bytes:
    head = struct.pack(">hq", version, offset)
    if version >= 4:
        long_note = note * 60  # its length takes two bytes
        length = len(long_note) + 1
        varint = bytes([length & 0x7F | 0x80, length >> 7])
        return head + struct.pack(">i", 7) + varint + long_note.encode() + struct.pack(">q", at_ms) + b"\0"
    epoch = struct.pack(">i", 7) if version == 3 else b""
    expires = struct.pack(">q", -1) if version == 1 else b""
    return head + epoch + text(note) + struct.pack(">q", at_ms) + expires


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("key_version", [0, 1])
def test_a_commit_of_every_version(version: int, key_version: int) -> None:
    assert commit_record(key(key_version), value(version), 9) == CommitRecord(
        "g", TopicPartition("frames.raw", 3), 42, 1_790_000_000_000, 9
    )


def test_what_is_no_commit() -> None:
    assert commit_record(None, b"x", 0) is None
    assert commit_record(key(), None, 0) is None, "an offset that was removed"
    member_list = struct.pack(">h", 2) + text("g")
    assert commit_record(member_list, b"\0\3rest", 0) is None
    assert commit_record(member_list, None, 0) == GroupRemoved("g")
    assert commit_record(struct.pack(">h", 6) + text("g"), b"\0\0", 0) is None, "a record of the new group protocol"


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_are_a_commit_or_none_or_a_value_error(any_key: bytes, any_value: bytes) -> None:
    try:
        found = commit_record(any_key, any_value, 1)
    except ValueError as error:
        assert "offset 1 cannot be read" in str(error)
    else:
        assert found is None or isinstance(found, CommitRecord | GroupRemoved)


@given(st.integers(0, 30))
def test_a_record_that_is_cut_off_is_an_error(cut: int) -> None:
    whole = value(3)
    with pytest.raises(ValueError, match="cannot be read"):
        commit_record(key(), whole[: min(2 + cut % (len(whole) - 2), len(whole) - 1)], 1)
