"""The lag counts the records that a group can read: no transaction markers, no aborted, deleted or undecided ones."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from infra.kafka import clients
from infra.kafka.errors import KafkaFailure
from infra.kafka.group_offsets import LOOK_AFTER_S, GroupOffsets, Offsets, set_group_offsets
from infra.settings import Settings
from schemas import coordinates
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.deployment import deployment as make_deployment
from tests.support.services import Services
from tests.support.sink_records import Wire

GROUP = "readers"


@pytest.fixture
def offsets(deployment: Deployment) -> Iterator[GroupOffsets]:
    made = GroupOffsets(deployment.settings(), GROUP, deployment.topics.frames)
    yield made
    made.close()


@pytest.fixture
def group(deployment: Deployment) -> Iterator[Consumer]:
    made = clients.consumer(deployment.settings(), GROUP)
    yield made
    made.close()


@pytest.fixture
def transactions(deployment: Deployment) -> Producer:
    keys = {"delivery.timeout.ms": 30_000, "transactional.id": f"{deployment.prefix}tx"}
    made = Producer(clients.producer_config(deployment.settings(), **keys))
    made.init_transactions(30)
    return made


def send(producer: Producer, topic: str, values: int) -> None:
    """Send records in a transaction that stays open."""
    producer.begin_transaction()
    for _ in range(values):
        producer.produce(topic, b"x", partition=0)
    assert producer.flush(10) == 0


def commit(group: Consumer, topic: str, offset: int) -> None:
    group.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)


def ask(offsets: GroupOffsets) -> Offsets:
    """Ask as the monitor does: once more where a partition of the new topic has no leader yet."""
    until_s = time.monotonic() + 10
    while True:
        try:
            return offsets.ask(10)
        except KafkaFailure as error:
            if error.fault.name != "NOT_LEADER_FOR_PARTITION" or time.monotonic() > until_s:
                raise
            time.sleep(0.1)


def settled(offsets: GroupOffsets) -> Offsets:
    """Ask for some seconds, in which every waiting record is examined; returns the last answer."""
    until_s = time.monotonic() + 4
    while time.monotonic() < until_s:
        found = ask(offsets)
        time.sleep(0.5)
    return found


def test_markers_and_aborted_records_do_not_wait_and_a_record_behind_them_does(
    deployment: Deployment, offsets: GroupOffsets, group: Consumer, transactions: Producer, wire: Wire
) -> None:
    topic = deployment.topics.frames
    send(transactions, topic, 2)
    transactions.commit_transaction(30)
    commit(group, topic, 2)  # as Faust does it: past the last record, not past the marker behind it
    send(transactions, topic, 3)
    transactions.abort_transaction(30)
    found = settled(offsets)
    assert (found.ends[0], found.lag()) == (7, 0)
    send(transactions, topic, 1)
    assert settled(offsets).lag() == 0, "nobody can read it before its transaction ends"
    transactions.commit_transaction(30)
    wire.send_all(topic, [b"y"] * 4, partition=0)
    assert settled(offsets).lag() == 6, "a record, a marker, four records, and nobody reads them"
    commit(group, topic, 13)
    assert ask(offsets).lag() == 0


def test_what_was_deleted_does_not_wait(
    deployment: Deployment, offsets: GroupOffsets, group: Consumer, wire: Wire
) -> None:
    topic = deployment.topics.frames
    wire.send_all(topic, [b"x"] * 10, partition=0)
    commit(group, topic, 2)
    assert (ask(offsets).lag(), ask(offsets).position()) == (8, 2)
    client = clients.admin(deployment.settings())
    for left in (3, 0):
        for future in client.delete_records([TopicPartition(topic, 0, 10 - left)]).values():
            future.result(30)
        assert ask(offsets).lag() == left


def test_a_look_at_many_laggards_moves_one_record_of_each(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    partitions, size, received = 24, 100_000, [0]
    make_consumer = clients.consumer

    def counting(settings: Settings, group: str, **keys: Any) -> Consumer:
        def on_statistics(text: str) -> None:
            received[0] = sum(broker["rxbytes"] for broker in json.loads(text)["brokers"].values())

        return make_consumer(settings, group, **keys, **{"statistics.interval.ms": 50, "stats_cb": on_statistics})

    monkeypatch.setattr("infra.kafka.group_offsets.clients.consumer", counting)
    with make_deployment(services, SIGHTLINE_TOPICS__PARTITIONS=str(partitions)) as many:
        topic, producer = many.topics.frames, Producer(clients.producer_config(many.settings()))
        for _ in range(5):
            for partition in range(partitions):
                producer.produce(topic, bytes(size), partition=partition)
            assert producer.flush(30) == 0  # so that each record is a batch of its own
        offsets = GroupOffsets(many.settings(), GROUP, topic)
        assert ask(offsets).lag() == 5 * partitions
        time.sleep(LOOK_AFTER_S + 0.1)
        assert ask(offsets).lag() == 5 * partitions
        time.sleep(0.2)
        offsets._consumer.poll(0.1)  # serves the statistics
        offsets.close()
    assert partitions * size < received[0] < 1.1 * partitions * size


def test_only_the_partitions_that_are_named_are_asked_for(
    deployment: Deployment, offsets: GroupOffsets, wire: Wire
) -> None:
    topic = deployment.topics.frames
    for partition in range(3):
        wire.send_all(topic, [b"x"] * (partition + 1), partition=partition)
    ask(offsets)
    assert offsets.ask(10, {1, 2, 99}).ends == {1: 2, 2: 3}
    assert offsets.ask(10, frozenset()) == Offsets({}, {})
    assert offsets.ask(10).lag() == 6


def test_an_offset_that_the_coordinator_does_not_keep_is_told(deployment: Deployment) -> None:
    """The client's call succeeds, and says in the answer of each partition what became of it."""
    known, unknown = (coordinates.TopicPartition(deployment.topics.frames, number) for number in (0, PARTITIONS))
    with pytest.raises(KafkaFailure):
        set_group_offsets(deployment.settings(), "a-group", {known: 0, unknown: 0}, 30)
