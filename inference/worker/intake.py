"""A record of the batches topic to Work: what can be judged before the model sees it. Pure."""

from collections.abc import Iterable

from inference.cache.record import MAX_FLAGS_BYTES, joined_flags
from inference.device.work import Failed, Origin, Work
from inference.models.base import InputSpec
from schemas import codec, fields
from schemas.errors import BadFrame
from schemas.records import BatchItem, MicroBatch, PixelEncoding


def read_work(origin: Origin, value: bytes | None, spec: InputSpec, registry: codec.Registry | None = None) -> Work:
    """Work ready for the queue. Bytes never make it raise: the work is `bad`, or has frames with an outcome already."""
    try:
        batch = codec.decode(MicroBatch, value, registry)
        _check_fields(batch, origin.replay_id)
    except BadFrame as error:
        return Work(origin, bad=error, raw=value or b"")
    wrong_size = _wrong_size(batch, spec)
    faults = {index: wrong_size or _fault(item, batch, spec) for index, item in enumerate(batch.items)}
    return Work(
        origin,
        items=batch.items,
        source_topic=batch.source_topic,
        source_partition=batch.source_partition,
        encoding=batch.encoding,
        pixels=batch.pixels,
        rows=tuple(_sound(faults)),
        outcomes={index: fault for index, fault in faults.items() if fault is not None},
    )


def _check_fields(batch: MicroBatch, replay_id: str | None) -> None:
    """BadFrame `bad_fields` for a source that cannot lie in Kafka, ids over 1 KiB, flags that the cache cannot hold.

    They go on into labels, look-ups of the source and the cache, all of which would end the worker over them.
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


def _sound(faults: dict[int, Failed | None]) -> Iterable[int]:
    return (index for index, fault in faults.items() if fault is None)


def _wrong_size(batch: MicroBatch, spec: InputSpec) -> Failed | None:
    if batch.encoding is PixelEncoding.JPEG or (batch.width, batch.height) == (spec.width, spec.height):
        return None
    found, wanted = f"{batch.width}x{batch.height}", f"{spec.width}x{spec.height}"
    return Failed(BadFrame("wrong_size", f"the batch holds {found} images, the model takes {wanted}"))


def _fault(item: BatchItem, batch: MicroBatch, spec: InputSpec) -> Failed | None:
    if item.start < 0 or item.length <= 0 or item.start + item.length > len(batch.pixels):
        where = f"bytes {item.start}..{item.start + item.length} of {len(batch.pixels)}"
        return Failed(BadFrame("out_of_bounds", f"the batch says that the image is in {where}"))
    if batch.encoding is not PixelEncoding.JPEG and item.length != spec.row_bytes(batch.encoding):
        wanted = spec.row_bytes(batch.encoding)
        return Failed(BadFrame("wrong_length", f"{item.length} bytes of {batch.encoding}, {wanted} expected"))
    return None
