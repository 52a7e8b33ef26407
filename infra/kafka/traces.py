"""Spans of Kafka records, named and described by OpenTelemetry's semantic conventions for messaging.

https://opentelemetry.io/docs/specs/semconv/messaging/kafka/. A frame's spans are children of the context that its
record carries; what handles many frames at once is a trace of its own, with links. All of it returns None, or what it
was given, while traces are off and for frames that are not sampled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import DeliveryReport, OnDelivery, OutRecord
from infra.process import tracing
from schemas.headers import traceparent_of, unsampled_traceparent
from schemas.trace_context import is_sampled, with_traceparent

if TYPE_CHECKING:
    from infra.process.spans import Attribute, Span

# Attributes of our own: what a frame's trace is found by.
FRAME_ID = "sightline.frame_id"
KEY = "messaging.kafka.message.key"


def begin(
    operation: str, topic: str, traceparent: str | None, *, partition: int = -1, offset: int = -1, group: str = ""
) -> "tuple[Span | None, str | None]":
    """The span of a frame, and the context to pass on. A frame without a context begins a trace, if it is chosen."""
    tracer = tracing.active
    if tracer is None:
        return None, traceparent
    if traceparent is not None:
        span = follow(operation, topic, traceparent, partition=partition, offset=offset, group=group)
        return span, traceparent if span is None else span.traceparent
    if not tracer.samples():
        return None, unsampled_traceparent()  # so that no later stage chooses anew
    span = tracer.start(f"{operation} {topic}", operation, attributes(operation, topic, partition, offset, group))
    return span, span.traceparent


def begin_again(
    operation: str, topic: str, former: str | None, *, partition: int = -1, offset: int = -1
) -> "tuple[Span | None, str]":
    """The span of a frame that is sent once more, and the context to pass on: a new trace, linked to the former one."""
    tracer = tracing.active
    if tracer is None or not tracer.samples():
        return None, unsampled_traceparent()
    given, links = attributes(operation, topic, partition, offset), [] if former is None else [former]
    span = tracer.start(f"{operation} {topic}", operation, given, links=links)
    return span, span.traceparent


def follow(
    operation: str, topic: str, traceparent: str | None, *, partition: int = -1, offset: int = -1, group: str = ""
) -> "Span | None":
    """The span of a frame whose trace began elsewhere."""
    tracer = tracing.active
    if tracer is None or traceparent is None or not is_sampled(traceparent):
        return None
    given = attributes(operation, topic, partition, offset, group)
    return tracer.start(f"{operation} {topic}", operation, given, parent=traceparent)


def follow_record(record: ConsumedRecord, group: str) -> "Span | None":
    """The same, of a record that carries the context in its headers. They are not looked at while traces are off."""
    if tracing.active is None:
        return None
    traceparent = traceparent_of(record.headers)
    return follow("process", record.topic, traceparent, partition=record.partition, offset=record.offset, group=group)


def around(
    name: str, kind: str, members: "Sequence[Span]", given: "Mapping[str, Attribute]", start_ns: int | None = None
) -> "Span | None":
    """The span of what handles all these frames at once: a trace of its own. It and they link to each other."""
    tracer = tracing.active
    if tracer is None or not members:
        return None
    span = tracer.start(name, kind, given, links=members, start_ns=start_ns)
    for member in members:
        member.link(span)
    return span


def batch_around(
    operation: str, topic: str, members: "Sequence[Span]", messages: int, start_ns: int | None = None
) -> "Span | None":
    """The same, for the records of a topic: `messages` of them, or one that holds so many frames."""
    given = {**attributes(operation, topic), "messaging.batch.message_count": messages} if members else {}
    return around(f"{operation} {topic}", operation, members, given, start_ns)


def sent_by(span: "Span | None", on_delivery: OnDelivery) -> OnDelivery:
    """The call-back of a record whose sending is that span: it ends with the delivery report."""
    if span is None:
        return on_delivery

    def delivered(report: DeliveryReport) -> None:
        span.set(place(report.partition, report.offset))
        if report.fault is not None:
            span.fail(report.fault.name, str(report.fault))
        span.end()
        on_delivery(report)

    return delivered


def sent_within(span: "Span | None", record: OutRecord) -> OutRecord:
    """The record of a frame that is handled in that span: it is sent in a span of its own, whose context it carries."""
    if span is None:
        return record
    sending = span.child(f"send {record.topic}", "send", attributes("send", record.topic))
    headers = with_traceparent(record.headers, sending.traceparent)
    on_delivery = record.on_delivery or _tell_nobody
    return replace(record, headers=headers, on_delivery=sent_by(sending, on_delivery))


def attributes(
    operation: str, topic: str, partition: int = -1, offset: int = -1, group: str = ""
) -> "dict[str, Attribute]":
    made: dict[str, Attribute] = {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
        **place(partition, offset),
    }
    if group:
        made["messaging.consumer.group.name"] = group
    return made


def _tell_nobody(_: DeliveryReport) -> None:
    """For a record that nobody waits for."""


def place(partition: int, offset: int) -> "dict[str, Attribute]":
    """Where a record lies; nothing of it for -1."""
    made: dict[str, Attribute] = {}
    if partition >= 0:
        made["messaging.destination.partition.id"] = str(partition)
    if offset >= 0:
        made["messaging.kafka.offset"] = offset
    return made
