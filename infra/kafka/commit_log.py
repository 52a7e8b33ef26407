"""The commits of all consumer groups as the cluster keeps them, on the topic `__consumer_offsets`.

The layout of its records is in kafka's OffsetCommitKey.json, OffsetCommitValue.json and GroupMetadataKey.json. Reading
it needs the right Read on that topic, which most users do not have.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from schemas.coordinates import TopicPartition

OFFSETS_TOPIC = "__consumer_offsets"


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """A commit of a group; `order` is its offset on `__consumer_offsets`."""

    group: str
    partition: TopicPartition
    offset: int
    timestamp_ms: int
    order: int


@dataclass(frozen=True, slots=True)
class GroupRemoved:
    """The cluster has forgotten the group."""

    group: str


def commit_record(key: bytes | None, value: bytes | None, order: int) -> CommitRecord | GroupRemoved | None:
    """What one record says; None for one that is no commit, such as a member list or a removed offset. Pure.

    Raises ValueError for a record that is cut off.
    """
    if key is None:
        return None
    try:
        return _commit_record(_Bytes(key), value, order)
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"{OFFSETS_TOPIC} offset {order} cannot be read: {error}") from error


def _commit_record(key: "_Bytes", value: bytes | None, order: int) -> CommitRecord | GroupRemoved | None:
    version = key.number("h")
    if version == 2 and not value:
        return GroupRemoved(key.text())
    if version not in (0, 1) or not value:
        return None
    group, topic, partition = key.text(), key.text(), key.number("i")
    fields = _Bytes(value)
    version = fields.number("h")
    offset = fields.number("q")
    if version >= 3:
        fields.number("i")  # the leader's epoch
    if version >= 4:
        fields.compact_text()
    else:
        fields.text()
    return CommitRecord(group, TopicPartition(topic, partition), offset, fields.number("q"), order)


class _Bytes:
    """Takes the fields of a record off its front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, kind: str) -> int:
        (found,) = struct.unpack_from(f">{kind}", self._data, self._at)
        self._at += struct.calcsize(kind)
        return int(found)

    def text(self) -> str:
        return self._take(max(0, self.number("h")))

    def compact_text(self) -> str:
        """With its length and one more as a varint; 0 for null."""
        length = shift = 0
        while True:
            byte = self.number("B")
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return self._take(max(0, length - 1))

    def _take(self, length: int) -> str:
        if self._at + length > len(self._data):
            raise struct.error(f"a text of {length} bytes is longer than the record")
        found = self._data[self._at : self._at + length].decode()
        self._at += length
        return found


CommitHandler = Callable[[CommitRecord | GroupRemoved], None]
