"""Single records read again by their coordinates, from a real broker."""

import time

import confluent_kafka
import pytest

from infra.kafka import clients
from infra.kafka.lookup import READ_ON_OFFSETS, RecordLookup
from schemas.coordinates import TopicPartition
from schemas.errors import Unavailable
from tests.support.batches import Feeder
from tests.support.deployment import PARTITIONS, Deployment

RECORDS, DELETED = 3 * READ_ON_OFFSETS, 10


def test_records_that_are_left_are_found_near_and_far_and_the_others_left_out(deployment: Deployment) -> None:
    settings, topic = deployment.settings(), deployment.topics.frames
    feeder = Feeder(settings)
    for number in range(RECORDS):
        feeder.send(topic, 0, str(number).encode())
    feeder.close()
    admin = clients.admin(settings)  # kept in a variable: without the client its answer is lost
    for done in admin.delete_records([confluent_kafka.TopicPartition(topic, 0, DELETED)]).values():
        done.result(30)
    lookup = RecordLookup(settings)
    wanted = [RECORDS - 1, 5, DELETED, 12, 13, RECORDS + 100]
    found = lookup.fetch(TopicPartition(topic, 0), wanted)
    assert {offset: record.value for offset, record in found.items()} == {
        offset: str(offset).encode() for offset in (DELETED, 12, 13, RECORDS - 1)
    }
    assert all(record.coordinates.offset == offset for offset, record in found.items())
    assert lookup.fetch(TopicPartition(topic, 1), [0]) == {}, "an empty partition"
    lookup.close()


@pytest.mark.parametrize("exists", [True, False], ids=["no such partition", "no such topic"])
def test_places_that_do_not_exist_hold_nothing_up(deployment: Deployment, exists: bool) -> None:
    """The client itself waits for such a partition without a word."""
    topic = deployment.topics.frames if exists else f"{deployment.topics.frames}-gone"
    lookup = RecordLookup(deployment.settings())
    started_s = time.monotonic()
    assert lookup.fetch(TopicPartition(topic, PARTITIONS), [0, 1_000]) == {}
    assert time.monotonic() - started_s < 8
    lookup.close()


def test_a_broker_without_an_answer_is_told_from_a_record_that_is_gone(deployment: Deployment) -> None:
    lookup = RecordLookup(deployment.settings(kafka={"bootstrap_servers": "127.0.0.1:1"}), timeout_s=1.0)
    with pytest.raises(Unavailable, match="could not be read again in time"):
        lookup.fetch(TopicPartition(deployment.topics.frames, 0), [0])
    lookup.close()
