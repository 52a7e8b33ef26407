"""Prepared frames into MicroBatches, size-limited: one source partition, replay id and attempt each. Pure."""

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas import headers
from schemas.cache_headers import NO_CACHE
from schemas.clocks import batch_clocks
from schemas.headers import Header
from schemas.records import BatchItem, MicroBatch, PixelEncoding
from streams.stage.frames import PendingFrame, PreparedFrame

# The numbers, the hash and the quality of one item, and its trace context and clock in the headers.
ITEM_OVERHEAD_BYTES = 256


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """A MicroBatch, the headers of its record, and the frames that it carries."""

    batch: MicroBatch
    headers: list[Header]
    frames: list[PendingFrame]


@dataclass(frozen=True, slots=True)
class _Group:
    """What all frames of one MicroBatch have in common; its record tells replay id, attempt and cache only once."""

    topic: str
    partition: int
    replay_id: str | None
    attempt: int
    may_be_cached: bool
    width: int
    height: int


def pack(
    frames: Iterable[PreparedFrame], lane: str, encoding: PixelEncoding, max_frames: int, max_bytes: int
) -> list[PackedBatch]:
    """MicroBatches in the order of their first frames; the frames of a partition keep their order.

    `max_bytes` limits the bytes that the frames take in the record; a single frame may be larger.
    """
    groups: dict[_Group, list[PreparedFrame]] = {}
    for frame in frames:
        groups.setdefault(_group_of(frame), []).append(frame)
    return [
        _packed(group, part, lane, encoding)
        for group, members in groups.items()
        for part in _split(members, max_frames, max_bytes)
    ]


def _group_of(prepared: PreparedFrame) -> _Group:
    pending, image = prepared.pending, prepared.image
    source = pending.record.source
    return _Group(
        source.topic,
        source.partition,
        pending.replay_id,
        pending.record.attempt,
        pending.may_be_cached,
        image.width,
        image.height,
    )


def _split(frames: list[PreparedFrame], max_frames: int, max_bytes: int) -> Iterator[list[PreparedFrame]]:
    part: list[PreparedFrame] = []
    size = 0
    for frame in frames:
        more = _item_bytes(frame)
        if part and (len(part) >= max_frames or size + more > max_bytes):
            yield part
            part, size = [], 0
        part.append(frame)
        size += more
    yield part


def _item_bytes(prepared: PreparedFrame) -> int:
    """The most that the frame adds to the record, its share of the headers included."""
    frame = prepared.frame
    ids_bytes = len(frame.frame_id.encode()) + len(frame.source_id.encode())
    repeated = prepared.pending.replay_of
    place_bytes = 0 if repeated is None else len(str(repeated))
    return len(prepared.image.pixels) + ids_bytes + place_bytes + ITEM_OVERHEAD_BYTES


def _packed(group: _Group, frames: list[PreparedFrame], lane: str, encoding: PixelEncoding) -> PackedBatch:
    items, start = [], 0
    for prepared in frames:
        items.append(_item(prepared, start))
        start += len(prepared.image.pixels)
    batch = MicroBatch(
        batch_id=f"{group.partition}-{items[0].offset}-{secrets.token_hex(4)}",
        lane=lane,
        encoding=encoding,
        width=group.width,
        height=group.height,
        source_topic=group.topic,
        source_partition=group.partition,
        items=tuple(items),
        pixels=b"".join([prepared.image.pixels for prepared in frames]),
    )
    return PackedBatch(batch, _headers(group, frames), [prepared.pending for prepared in frames])


def _item(prepared: PreparedFrame, start: int) -> BatchItem:
    return BatchItem(
        offset=prepared.pending.record.source.offset,
        frame_id=prepared.frame.frame_id,
        source_id=prepared.frame.source_id,
        captured_at=prepared.frame.captured_at,
        image_hash=prepared.image_hash,
        quality=prepared.image.quality,
        start=start,
        length=len(prepared.image.pixels),
        replay_of=prepared.pending.replay_of,
    )


def _headers(group: _Group, frames: list[PreparedFrame]) -> list[Header]:
    made: list[Header] = []
    if group.replay_id is not None:
        made.append((headers.REPLAY_ID, group.replay_id.encode()))
    if group.attempt:
        made.append((headers.ATTEMPT, str(group.attempt).encode()))
    if not group.may_be_cached:
        made.append(NO_CACHE)
    made.extend(headers.batch_traceparents([prepared.pending.traceparent for prepared in frames]))
    made.extend(batch_clocks([prepared.clock_ms for prepared in frames]))
    return made
