"""A range ends where it was fixed, whatever records it has and whatever is written meanwhile."""

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions

import infra.kafka.reader
from infra.kafka.clients import admin, producer_config
from infra.kafka.reader import Reader
from infra.kafka.spans import Span
from schemas.errors import Unavailable
from tests.support.deployment import Deployment
from tests.support.sink_records import Wire

TRANSACTIONAL = {"delivery.timeout.ms": 30_000, "linger.ms": 0}


@pytest.fixture
def reader(deployment: Deployment) -> Iterator[Reader]:
    with Reader(deployment.settings()) as opened:
        yield opened


def at(reader: Reader, spans: list[Span]) -> list[tuple[int, int]]:
    return sorted((record.partition, record.offset) for record in reader.read(spans))


def test_a_range_ends_where_the_topic_ended_when_it_was_settled(reader: Reader, wire: Wire) -> None:
    topic = wire.topics.labels
    wire.send_all(topic, [b"a"] * 3, partition=1)
    wire.send_all(topic, [b"b"] * 2, partition=2)
    spans = reader.spans(topic)
    wire.send_all(topic, [b"later"] * 5, partition=1)
    wire.send(topic, b"later", partition=0)
    assert at(reader, spans) == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert at(reader, []) == []
    assert at(reader, reader.tail(topic)) == []


def test_a_record_that_has_come_is_not_held_until_more_come(deployment: Deployment, wire: Wire) -> None:
    topic, count = wire.topics.labels, 20
    wire.send_all(topic, [b"a"] * count, partition=1)
    with Reader(deployment.settings(), **{"fetch.wait.max.ms": 10}) as reader:
        assert at(reader, reader.spans(topic))  # the client has its connections
        began_s = time.monotonic()
        for offset in range(count):
            assert at(reader, [Span(topic, 1, offset, offset + 1)]) == [(1, offset)]
    assert time.monotonic() - began_s < count * infra.kafka.reader.POLL_S / 2


def test_a_reader_that_has_just_begun_reads_at_once(deployment: Deployment, wire: Wire) -> None:
    topic, count = wire.topics.labels, 5
    wire.send(topic, b"a", partition=1)
    began_s = time.monotonic()
    for _ in range(count):
        with Reader(deployment.settings()) as reader:
            assert at(reader, reader.spans(topic)) == [(1, 0)]
    assert time.monotonic() - began_s < count * 0.6  # a client that must look for the leader takes a second


def test_a_range_from_a_time_on_begins_with_its_first_record_and_ends_with_the_log(reader: Reader, wire: Wire) -> None:
    topic = wire.topics.frames
    for second in range(10):
        wire.send(topic, b"x", partition=second % 2, timestamp_ms=1_000_000 + second * 1_000)
    spans = reader.spans(topic, from_us=1_003_000_000)
    assert {(span.partition, span.start, span.end) for span in spans if len(span)} == {(0, 2, 5), (1, 1, 5)}
    assert len(at(reader, reader.spans(topic, from_us=1_009_000_001))) == 0, "-1 from the broker is the end"


def test_markers_and_aborted_records_are_no_records_and_no_obstacle(
    reader: Reader, wire: Wire, deployment: Deployment
) -> None:
    topic = wire.topics.labels
    producer = Producer(
        producer_config(deployment.settings(), **TRANSACTIONAL, **{"transactional.id": f"{deployment.prefix}tx"})
    )
    producer.init_transactions(30)
    for commit in (True, False, True, False):
        producer.begin_transaction()
        producer.produce(topic, b"x", partition=0)
        producer.flush(10)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    spans = reader.spans(topic)
    assert spans[0].end == 8, "each transaction leaves a record and a marker; the last one is only a marker to us"
    assert at(reader, spans) == [(0, 0), (0, 4)]
    wire.send(topic, b"y", partition=0)
    assert at(reader, spans) == [(0, 0), (0, 4)]


def test_what_retention_takes_meanwhile_is_skipped_and_named(
    reader: Reader, wire: Wire, deployment: Deployment
) -> None:
    topic = wire.topics.frames
    wire.send_all(topic, [b"x"] * 10, partition=0)
    spans = reader.spans(topic)
    deployment.delete_before(topic, 4)
    assert at(reader, spans) == [(0, offset) for offset in range(4, 10)]
    assert reader.expired == [Span(topic, 0, 0, 4)]
    deployment.delete_before(topic, 10)
    assert at(reader, spans) == []
    assert reader.expired[1:] == [Span(topic, 0, 0, 10)]


def test_following_goes_on_over_new_partitions(
    reader: Reader, wire: Wire, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infra.kafka.reader, "METADATA_S", 0.5)
    topic = wire.topics.labels
    wire.send(topic, b"before", partition=1)
    records = reader.follow(reader.tail(topic))
    assert next(records) is None
    wire.send(topic, b"live", partition=1)
    client = admin(deployment.settings())
    client.create_partitions([NewPartitions(topic, 6)])[topic].result(30)
    new = Wire(deployment)  # its metadata knows the new partitions
    new.send(topic, b"new", partition=5)
    found = [record for record in (next(records) for _ in range(20)) if record is not None]
    assert [(record.partition, record.value) for record in found] == [(1, b"live"), (5, b"new")]


def test_a_topic_that_is_not_there_is_named_and_not_created(reader: Reader, deployment: Deployment) -> None:
    with pytest.raises(Unavailable, match="no topic nowhere"):
        reader.spans("nowhere")
    assert "nowhere" not in admin(deployment.settings()).list_topics(timeout=10).topics
