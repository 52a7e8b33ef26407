"""From a record of the batches topic to Work: every check that does not need the model. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from inference.cache.record import MAX_FLAGS_BYTES, joined_flags
from inference.device.work import FrameFailure, Work
from inference.models.base import InputSpec
from infra.kafka.records import ConsumedRecord
from schemas import codec, fields
from schemas.errors import BadFrame
from schemas.headers import replay_id_of
from schemas.records import BatchItem, MicroBatch, PixelEncoding


def read_work(record: ConsumedRecord, generation: int, spec: InputSpec, registry: codec.Registry | None = None) -> Work:
    """Work for the queue. No bytes make it raise: the work is `bad`, or some of its frames have failed already."""
    replay_id = replay_id_of(record.headers)
    try:
        batch = codec.decode(MicroBatch, record.value, registry)
        _check_fields(batch, replay_id)
    except BadFrame as error:
        return Work(replace(record, value=record.value or b""), generation, bad=error)
    wrong_size = _wrong_size(batch, spec)
    failures = {index: wrong_size or _failure(item, batch, spec) for index, item in enumerate(batch.items)}
    return Work(
        replace(record, value=None),
        generation,
        items=batch.items,
        source_topic=batch.source_topic,
        source_partition=batch.source_partition,
        encoding=batch.encoding,
        pixels=batch.pixels,
        rows=tuple(_sound(failures)),
        outcomes={index: failure for index, failure in failures.items() if failure is not None},
        replay_id=replay_id,
    )


def _check_fields(batch: MicroBatch, replay_id: str | None) -> None:
    """BadFrame `bad_fields` for a source that Kafka cannot have, ids over 1 KiB, and flags that the cache cannot hold.

    The fields are used further on for labels, for reading frames again and for the cache, where a bad one would end
    the worker.
    """
    if not fields.is_topic(batch.source_topic):
        raise BadFrame("bad_fields", f"source_topic is {batch.source_topic[:300]!r}: no name of a topic")
    if not fields.is_position(batch.source_partition, 0):
        raise BadFrame("bad_fields", f"source_partition is {batch.source_partition}")
    fields.check_size("replay id", (replay_id or "").encode())
    for item in batch.items:
        if item.offset < 0:
            raise BadFrame("bad_fields", f"the offset of a frame is {item.offset}")
        fields.check_size("frame_id", item.frame_id.encode())
        fields.check_size("source_id", item.source_id.encode())
        fields.check_size("quality.flags", joined_flags(item.quality), MAX_FLAGS_BYTES)


def _sound(failures: dict[int, FrameFailure | None]) -> Iterable[int]:
    return (index for index, failure in failures.items() if failure is None)


def _wrong_size(batch: MicroBatch, spec: InputSpec) -> FrameFailure | None:
    if batch.encoding is PixelEncoding.JPEG or (batch.width, batch.height) == (spec.width, spec.height):
        return None
    found, wanted = f"{batch.width}x{batch.height}", f"{spec.width}x{spec.height}"
    return FrameFailure(BadFrame("wrong_size", f"the batch holds {found} images, the model takes {wanted}"))


def _failure(item: BatchItem, batch: MicroBatch, spec: InputSpec) -> FrameFailure | None:
    if item.start < 0 or item.length <= 0 or item.start + item.length > len(batch.pixels):
        where = f"bytes {item.start}..{item.start + item.length} of {len(batch.pixels)}"
        return FrameFailure(BadFrame("out_of_bounds", f"the batch says that the image is in {where}"))
    if batch.encoding is not PixelEncoding.JPEG and item.length != spec.row_bytes(batch.encoding):
        wanted = spec.row_bytes(batch.encoding)
        return FrameFailure(BadFrame("wrong_length", f"{item.length} bytes of {batch.encoding}, {wanted} expected"))
    return None
