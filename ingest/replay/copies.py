"""The record of a replayed frame on `frames.replay`. Pure, but for the ids of new traces."""

from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import OutRecord
from infra.kafka.traces import begin_again
from infra.process import tracing
from schemas import headers
from schemas.cache_headers import NO_CACHE
from schemas.headers import Header, traceparent_of

# Told of another journey: they are replaced, or would say something wrong of this one.
_REPLACED = frozenset(
    (
        headers.TRACEPARENT,
        headers.REPLAY_ID,
        headers.REPLAY_OF,
        headers.ORIGIN_TOPIC,
        headers.ORIGIN_PARTITION,
        headers.ORIGIN_OFFSET,
        headers.ORIGIN_TIMESTAMP,
        headers.ERROR_STAGE,
        headers.ERROR_CLASS,
        headers.ERROR_MESSAGE,
        headers.ATTEMPT,
        headers.CACHE,
    )
)


def copy_of(record: ConsumedRecord, topic: str, replay_id: str, *, no_cache: bool = False) -> OutRecord:
    """Key, value and partition as they were; the time and the place of the original travel as headers.

    The trace is a new one, linked to that of the original: a trace of long ago would grow again otherwise.
    """
    former = None if tracing.active is None else traceparent_of(record.headers)
    span, traceparent = begin_again("send", topic, former, partition=record.partition, offset=record.offset)
    if span is not None:
        span.end()
    kept: list[Header] = [
        (name, value.encode() if isinstance(value, str) else value or b"")
        for name, value in record.headers or ()
        if name not in _REPLACED
    ]
    ours: list[Header] = [
        (headers.TRACEPARENT, traceparent.encode()),
        (headers.REPLAY_ID, replay_id.encode()),
        *headers.replay_of_headers(record.coordinates),
        (headers.ORIGIN_TOPIC, record.topic.encode()),
        (headers.ORIGIN_PARTITION, b"%d" % record.partition),
        (headers.ORIGIN_OFFSET, b"%d" % record.offset),
        (headers.ORIGIN_TIMESTAMP, b"%d" % record.timestamp_ms),
    ]
    if no_cache:
        ours.append(NO_CACHE)
    return OutRecord(topic, record.key, record.value, kept + ours, record.partition)
