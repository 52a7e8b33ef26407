"""Prepared frames into MicroBatches: one source partition, one replay id and one attempt each, capped. Pure."""

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas import headers
from schemas.headers import Header
from schemas.records import BatchItem, Frame, MicroBatch, PixelEncoding, Quality
from streams.stage.frames import Taken

# Numbers, hash, quality with its flags, and the trace context in the headers.
ITEM_OVERHEAD_BYTES = 256


@dataclass(frozen=True, slots=True)
class Ready:
    """A frame that can be packed: its pixels and what is said of it."""

    taken: Taken
    frame: Frame
    image_hash: bytes
    pixels: bytes
    width: int
    height: int
    quality: Quality


@dataclass(frozen=True, slots=True)
class Packed:
    """A MicroBatch with the headers of its record and the frames that it carries."""

    batch: MicroBatch
    headers: list[Header]
    frames: list[Taken]


@dataclass(frozen=True, slots=True)
class _Group:
    """What all frames of one MicroBatch share; the record has no other place for replay id and attempt."""

    topic: str
    partition: int
    replay_id: str | None
    attempt: int
    width: int
    height: int


def pack(frames: Iterable[Ready], lane: str, encoding: PixelEncoding, max_frames: int, max_bytes: int) -> list[Packed]:
    """MicroBatches in the order of their first frames; frames keep their order inside each partition.

    `max_bytes` counts what the frames take in the record; one frame alone may be larger.
    """
    groups: dict[_Group, list[Ready]] = {}
    for frame in frames:
        groups.setdefault(_group_of(frame), []).append(frame)
    return [
        _packed(group, part, lane, encoding)
        for group, members in groups.items()
        for part in _split(members, max_frames, max_bytes)
    ]


def _group_of(ready: Ready) -> _Group:
    record = ready.taken.record
    source = record.source
    return _Group(source.topic, source.partition, ready.taken.replay_id, record.attempt, ready.width, ready.height)


def _split(frames: list[Ready], max_frames: int, max_bytes: int) -> Iterator[list[Ready]]:
    part: list[Ready] = []
    size = 0
    for frame in frames:
        more = _item_bytes(frame)
        if part and (len(part) >= max_frames or size + more > max_bytes):
            yield part
            part, size = [], 0
        part.append(frame)
        size += more
    yield part


def _item_bytes(ready: Ready) -> int:
    """At most so much does the frame add to the record, its part of the headers included."""
    frame = ready.frame
    return len(ready.pixels) + len(frame.frame_id.encode()) + len(frame.source_id.encode()) + ITEM_OVERHEAD_BYTES


def _packed(group: _Group, frames: list[Ready], lane: str, encoding: PixelEncoding) -> Packed:
    items, start = [], 0
    for ready in frames:
        items.append(_item(ready, start))
        start += len(ready.pixels)
    batch = MicroBatch(
        batch_id=f"{group.partition}-{items[0].offset}-{secrets.token_hex(4)}",
        lane=lane,
        encoding=encoding,
        width=group.width,
        height=group.height,
        source_topic=group.topic,
        source_partition=group.partition,
        items=tuple(items),
        pixels=b"".join([ready.pixels for ready in frames]),
    )
    return Packed(batch, _headers(group, frames), [ready.taken for ready in frames])


def _item(ready: Ready, start: int) -> BatchItem:
    return BatchItem(
        offset=ready.taken.record.source.offset,
        frame_id=ready.frame.frame_id,
        source_id=ready.frame.source_id,
        captured_at=ready.frame.captured_at,
        image_hash=ready.image_hash,
        quality=ready.quality,
        start=start,
        length=len(ready.pixels),
    )


def _headers(group: _Group, frames: list[Ready]) -> list[Header]:
    made: list[Header] = []
    if group.replay_id is not None:
        made.append((headers.REPLAY_ID, group.replay_id.encode()))
    if group.attempt:
        made.append((headers.ATTEMPT, str(group.attempt).encode()))
    made.extend(headers.batch_traceparents([ready.taken.traceparent for ready in frames]))
    return made
