"""Finds the micro-batch of a frame with few reads: micro-batches are large, and in the order of their frames."""

from infra.kafka.lookup import RecordLookup
from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Span
from schemas import codec
from schemas.codec import Registry
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame
from schemas.headers import attempt_of
from schemas.records import MicroBatch
from sinks.explain.found import BatchFound

# Windows overlap, and retried frames come later: the order is not strict. So many on each side are read as well.
AROUND = 4


def find_batch(
    lookup: RecordLookup, span: Span, frame: Coordinates, frame_id: str | None, registry: Registry | None
) -> BatchFound | None:
    """The first micro-batch in that range that holds the frame; None where none was found. Raises Unavailable."""
    first, last = span.start, span.end
    while first < last:
        middle = (first + last) // 2
        # Of the next one in order: a retried one, one that is gone and one of another topic tell nothing.
        ahead = (_read(lookup, span, offset, registry) for offset in range(middle, min(last, middle + AROUND)))
        told = next((found for found in ahead if found is not None and _is_in_order(*found, frame)), None)
        if told is not None and max(item.offset for item in told[1].items) < frame.offset:
            first = told[0].offset + 1
        else:
            last = middle
    for offset in sorted(
        range(max(span.start, first - AROUND), min(span.end, first + AROUND)), key=lambda at: abs(at - first)
    ):
        found = _read(lookup, span, offset, registry)
        if found is not None and (batch := batch_of(*found, frame, frame_id)) is not None:
            return batch
    return None


def batch_of(record: ConsumedRecord, batch: MicroBatch, frame: Coordinates, frame_id: str | None) -> BatchFound | None:
    """What is told of the frame's micro-batch; None where the frame is not in it."""
    if (batch.source_topic, batch.source_partition) != (frame.topic, frame.partition):
        return None
    for index, item in enumerate(batch.items):
        if item.offset == frame.offset and frame_id in (None, item.frame_id):
            return BatchFound(
                batch.batch_id, record.coordinates, record.timestamp_ms, index, len(batch.items),
                batch.width, batch.height, batch.encoding.value,
            )  # fmt: skip
    return None


def _is_in_order(record: ConsumedRecord, batch: MicroBatch, frame: Coordinates) -> bool:
    is_same = (batch.source_topic, batch.source_partition) == (frame.topic, frame.partition)
    return is_same and bool(batch.items) and not attempt_of(record.headers)


def _read(
    lookup: RecordLookup, span: Span, offset: int, registry: Registry | None
) -> tuple[ConsumedRecord, MicroBatch] | None:
    record = lookup.fetch(TopicPartition(span.topic, span.partition), [offset]).get(offset)
    if record is None:
        return None
    try:
        return record, codec.decode_without_pixels(record.value, registry)
    except BadFrame:
        return None
