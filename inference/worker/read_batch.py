"""From a record of the batches topic to Work: every check that does not need the model. Pure.

Also the work that stands for records which are gone.
"""

from dataclasses import replace

from inference.cache.record import MAX_FLAGS_BYTES, joined_flags
from inference.device.work import FrameFailure, Work
from inference.models.base import InputSpec
from infra.failures.outcomes import BATCHES_SKIPPED
from infra.failures.unknown_versions import VersionGuard
from infra.kafka.records import ConsumedRecord
from schemas import codec, fields
from schemas.cache_headers import may_be_cached, preparation_of
from schemas.coordinates import TopicPartition
from schemas.errors import BadFrame, UnknownVersion
from schemas.headers import replay_id_of
from schemas.records import BatchItem, MicroBatch, PixelEncoding


def read_work(
    record: ConsumedRecord,
    generation: int,
    spec: InputSpec,
    guard: VersionGuard,
    registry: codec.Registry | None = None,
) -> Work:
    """Work for the queue: some of its frames have failed already, or the record is no batch and the work is `bad`.

    Raises Stalled for a version of the batch that this worker does not know. No other bytes make it raise.
    """
    try:
        batch, fault = _decode(record, registry)
        _check_source(batch)
    except BadFrame as error:
        guard.check(record, error)
        return Work(replace(record, value=record.value or b""), generation, bad=error)
    replay_id = replay_id_of(record.headers)
    fault = fault or _fault_of_all(batch, spec, replay_id)
    failures = {index: fault or _fault(item, batch, spec) for index, item in enumerate(batch.items)}
    return Work(
        replace(record, value=None),
        generation,
        items=batch.items,
        source_topic=batch.source_topic,
        source_partition=batch.source_partition,
        encoding=batch.encoding,
        pixels=batch.pixels,
        preparation=preparation_of(record.headers),
        rows=tuple(index for index, failure in failures.items() if failure is None),
        outcomes={index: FrameFailure(failure) for index, failure in failures.items() if failure is not None},
        replay_id=replay_id,
        # Without an id it is not known whose namespace of the cache it would be.
        may_be_cached=may_be_cached(record.headers) and (batch.lane == "live" or replay_id is not None),
    )


def _decode(record: ConsumedRecord, registry: codec.Registry | None) -> tuple[MicroBatch, BadFrame | None]:
    """The batch, and what is wrong with all of it: of a damaged record the frames are known, but no pixels."""
    try:
        return codec.decode(MicroBatch, record.value, registry), None
    except UnknownVersion:
        raise
    except BadFrame as error:
        try:
            batch = codec.decode_without_pixels(record.value, registry)
        except BadFrame:
            raise error from None
        where = f"{record.topic}/{record.partition} offset {record.offset}"
        return batch, BadFrame("damaged_batch", f"the micro-batch at {where} is damaged: {error}")


def gone_work(partition: TopicPartition, gone: range, generation: int, *, may_have_been_read: bool) -> Work:
    """Stands for micro-batches that retention removed before a worker had read them: the offsets `gone`.

    Which frames they held is not known any more. The work has the last of these offsets and one dead letter as its
    outcome, so nothing is committed past them before `frames.dead` tells of them.
    """
    where = f"offsets {gone[0]} to {gone[-1]} of {partition}"
    if may_have_been_read:
        detail = (
            f"{where} are gone, and no committed offset tells whether a worker had read them: "
            "frames of theirs may have no outcome"
        )
    else:
        detail = (
            f"{len(gone)} micro-batches, {where}, were removed by retention before a worker had read them: "
            "their frames have no outcome unless they are sent again"
        )
    key = str(partition.partition).encode()
    record = ConsumedRecord(*partition, offset=gone[-1], timestamp_ms=0, key=key, value=None, headers=None)
    skipped = 0 if may_have_been_read else len(gone)
    return Work(record, generation, bad=BadFrame(BATCHES_SKIPPED, detail), skipped_batches=skipped)


def _check_source(batch: MicroBatch) -> None:
    """Raises BadFrame `bad_fields` for a source that Kafka cannot have: it is not known which frames these are."""
    if not fields.is_topic(batch.source_topic):
        raise BadFrame("bad_fields", f"source_topic is {batch.source_topic[:300]!r}: no name of a topic")
    if not fields.is_position(batch.source_partition, 0):
        raise BadFrame("bad_fields", f"source_partition is {batch.source_partition}")


def _fault_of_all(batch: MicroBatch, spec: InputSpec, replay_id: str | None) -> BadFrame | None:
    """What is wrong with every frame of the batch."""
    try:
        fields.check_size("replay id", (replay_id or "").encode())
    except BadFrame as error:
        return error
    if batch.encoding is PixelEncoding.JPEG or (batch.width, batch.height) == (spec.width, spec.height):
        return None
    found, wanted = f"{batch.width}x{batch.height}", f"{spec.width}x{spec.height}"
    return BadFrame("wrong_size", f"the batch holds {found} images, the model takes {wanted}")


def _fault(item: BatchItem, batch: MicroBatch, spec: InputSpec) -> BadFrame | None:
    """What is wrong with one frame. Its fields are used further on for its label and for the cache, so they count."""
    if item.offset < 0:
        return BadFrame("bad_fields", f"the offset of a frame is {item.offset}")
    if item.replay_of is not None and fields.read_coordinates(str(item.replay_of)) is None:
        return BadFrame("bad_fields", f"replay_of is {str(item.replay_of)[:300]!r}: no place of a record")
    try:
        fields.check_size("frame_id", item.frame_id.encode())
        fields.check_size("source_id", item.source_id.encode())
        fields.check_size("quality.flags", joined_flags(item.quality), MAX_FLAGS_BYTES)
    except BadFrame as error:
        return error
    if item.start < 0 or item.length <= 0 or item.start + item.length > len(batch.pixels):
        where = f"bytes {item.start}..{item.start + item.length} of {len(batch.pixels)}"
        return BadFrame("out_of_bounds", f"the batch says that the image is in {where}")
    if batch.encoding is not PixelEncoding.JPEG and item.length != spec.row_bytes(batch.encoding):
        wanted = spec.row_bytes(batch.encoding)
        return BadFrame("wrong_length", f"{item.length} bytes of {batch.encoding}, {wanted} expected")
    return None
