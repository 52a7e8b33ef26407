"""Which frames have no outcome yet because a stage still has them: they are not missing."""

from infra.audit.ledger import Ledger
from infra.kafka.errors import KafkaFailure, raise_if_final
from infra.kafka.group_offsets import committed_offsets
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.schema_registry import registry_of
from infra.kafka.spans import Span
from infra.kafka.topics import Lane, TopicNames, group
from infra.process.lifecycle import Stop
from infra.settings import Settings
from schemas import codec
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame, UnknownVersion
from schemas.headers import read_failure

ANSWER_S = 20.0


def mark_under_way(settings: Settings, reader: Reader, lane: Lane, ledger: Ledger, stop: Stop) -> str:
    """Tell the ledger of frames that wait: unread on the frames topic, in a micro-batch, or for another attempt.

    Read the outcomes once more afterwards: a frame that had none before and does not wait now has got one meanwhile.
    Returns why it is not known of all frames (a micro-batch of a newer version), or an empty text.
    """
    names = TopicNames.for_lane(settings.topic_prefix, lane)

    def committed(kind: str, topic: str) -> dict[TopicPartition, int]:
        partitions = [TopicPartition(topic, number) for number in reader.partitions(topic)]
        try:
            return committed_offsets(settings, group(kind, settings.topic_prefix, lane), partitions, ANSWER_S)
        except KafkaFailure as failure:
            raise_if_final(failure.fault)  # a right that is missing has a sentence of its own
            raise

    # A stage commits once the next topic has the frame, and workers send frames back to the retry topic. So the order
    # matters: how far each group is, then where its topic ends. A frame that moves meanwhile is in one of the ranges.
    read, retried = committed("stream", names.frames), committed("retry", names.retry)
    inferred = committed("infer", names.batches)
    waiting = [_behind(span, inferred) for span in reader.spans(names.batches)]
    waiting += [_behind(span, retried) for span in reader.spans(names.retry)]
    for partition, offset in read.items():
        ledger.under_way_from(partition, offset)
    registry, told = registry_of(settings), ""
    for record in reader.read(waiting, stop.is_set):
        try:
            sources = _retried(record) if record.topic == names.retry else _batched(record, registry)
        except UnknownVersion as error:
            told = told or f"{record.topic}/{record.partition} offset {record.offset}: {error}"
            continue
        for source in sources:
            ledger.under_way(source)
    return told


def _behind(span: Span, committed: dict[TopicPartition, int]) -> Span:
    """The part of the topic that the group has not finished: all of it where it never committed."""
    return Span(span.topic, span.partition, max(span.start, committed.get(span.topic_partition, 0)), span.end)


def _retried(record: ConsumedRecord) -> list[Coordinates]:
    failure = read_failure(record.headers)
    return [] if failure is None else [failure.source]


def _batched(record: ConsumedRecord, registry: codec.Registry | None) -> list[Coordinates]:
    """The frames of a micro-batch; none of bytes in which no worker will find a frame."""
    try:
        batch = codec.decode_without_pixels(record.value, registry)
    except UnknownVersion:
        raise
    except BadFrame:
        return []
    return [Coordinates(batch.source_topic, batch.source_partition, item.offset) for item in batch.items]
