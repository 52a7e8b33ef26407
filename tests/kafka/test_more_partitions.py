"""Topics that get more partitions while everything runs, and committed offsets of partitions without a record."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewPartitions

from infra.kafka import clients
from infra.kafka.group_offsets import GroupOffsets
from infra.kafka.reader import Reader
from infra.kafka.start_checks import partitions_of
from infra.kafka.topics import group
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.headers import Failure, failure_headers
from tests.support.batches import Feeder, micro_batch, read_labels, wait_for
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.runner import Runner, Running
from tests.support.sink_records import Wire, a_frame

pytestmark = pytest.mark.timeout(300)

GROWN = PARTITIONS + 2
# What is promised: new partitions are read within this time.
WITHIN_S = 60.0
STAGE = ("stream", "--model", "null", "--no-cache")
WORKER = ("infer", "--model", "null", "--no-cache")


class Groups:
    """The offsets of every group of a deployment, as the broker tells them to anybody."""

    def __init__(self, deployment: Deployment) -> None:
        self._settings, names = deployment.settings(), deployment.topics
        read_by = {"stream": names.frames, "retry": names.retry, "infer": names.batches, "sink-jsonl": names.labels}
        self._topics = {group(kind, deployment.prefix): topic for kind, topic in read_by.items()}
        self._offsets = [GroupOffsets(self._settings, *one) for one in self._topics.items()]

    def committed(self) -> dict[str, dict[int, int]]:
        """By group and partition; negative where there is none."""
        return {one: self._of(one, topic) for one, topic in self._topics.items()}

    def ends(self) -> dict[str, dict[int, int]]:
        with Reader(self._settings) as reader:
            return {one: {span.partition: span.end for span in reader.spans(at)} for one, at in self._topics.items()}

    def lags(self) -> list[int]:
        """Records that wait in each group. Markers of transactions are none: no offset is ever committed for them."""
        return [offsets.ask(10).lag() for offsets in self._offsets]

    def close(self) -> None:
        for offsets in self._offsets:
            offsets.close()

    def _of(self, group_id: str, topic: str) -> dict[int, int]:
        consumer = clients.consumer(self._settings, group_id)
        try:
            numbers = range(partitions_of(self._settings, topic))
            found = consumer.committed([TopicPartition(topic, one) for one in numbers], 10)
            return {one.partition: one.offset for one in found}
        finally:
            consumer.close()


@pytest.fixture
def groups(deployment: Deployment) -> Iterator[Groups]:
    made = Groups(deployment)
    yield made
    made.close()


def start_all(sightline: Runner, folder: Path, delivery: str, protocol: str) -> list[Running]:
    return [
        sightline.start(*STAGE),
        sightline.start(*WORKER, "--delivery", delivery, env={"SIGHTLINE_INFER__GROUP_PROTOCOL": protocol}),
        sightline.start("sink", "jsonl", str(folder)),
    ]


@pytest.mark.system
@pytest.mark.parametrize(("delivery", "protocol"), [("at_least_once", "consumer"), ("exactly_once", "classic")])
def test_partitions_without_a_record_have_a_committed_offset(
    deployment: Deployment, sightline: Runner, groups: Groups, tmp_path: Path, delivery: str, protocol: str
) -> None:
    Wire(deployment).frames(3)
    deployment.delete_before(deployment.topics.frames, 3)
    processes = start_all(sightline, tmp_path / "out", delivery, protocol)
    empty = dict.fromkeys(range(PARTITIONS), 0)
    expected = {**dict.fromkeys(groups.committed(), empty), group("stream", deployment.prefix): {**empty, 0: 3}}
    wait_for(lambda: groups.committed() == expected, 60, "a committed offset of every partition", processes)
    assert groups.ends() == expected, "every lag is 0"


def grow(deployment: Deployment, *topics: str) -> None:
    client = clients.admin(deployment.settings())  # a local variable: the answers come only while the client exists
    for done in client.create_partitions([NewPartitions(topic, GROWN) for topic in topics]).values():
        done.result(30)


def write_to_new_partitions(deployment: Deployment) -> set[tuple[int, int]]:
    """Records for every group, in new partitions; returns the source coordinates of their labels.

    Its clients are made now, so that they know the partitions at once.
    """
    wire, feeder, names = Wire(deployment), Feeder(deployment.settings()), deployment.topics
    new = range(PARTITIONS, GROWN)
    expected = {(one.partition, one.offset) for partition in new for one in wire.frames(5, partition)}
    for number in new:
        origin = Coordinates(names.frames, 0, 10_000 + number)
        an_hour_ago_ms = (int(time.time()) - 3_600) * 1_000
        failure = Failure(origin, an_hour_ago_ms, "infer", "MemoryError", "no room", 1)
        headers, value = failure_headers((), failure), codec.encode(a_frame(number))
        wire.send(names.retry, value, partition=number, headers=headers, timestamp_ms=an_hour_ago_ms)
        offsets = range(20_000 + 10 * number, 20_004 + 10 * number)
        feeder.send(names.batches, number, codec.encode(micro_batch(names.frames, 1, offsets)))
        wire.label(Coordinates(names.frames, number, 30_000))
        expected |= {(0, origin.offset), *((1, offset) for offset in offsets), (number, 30_000)}
    feeder.close()
    return expected


@pytest.mark.system
@pytest.mark.parametrize(("delivery", "protocol"), [("at_least_once", "consumer"), ("exactly_once", "classic")])
def test_new_partitions_are_read_from_their_first_record_within_a_minute(
    deployment: Deployment, sightline: Runner, groups: Groups, tmp_path: Path, delivery: str, protocol: str
) -> None:
    """Nothing between the growth and its discovery is passed over."""
    names, wire = deployment.topics, Wire(deployment)
    processes = start_all(sightline, tmp_path / "out", delivery, protocol)
    subscriber = sightline.start("subscribe", "--format", "json")
    for number in range(PARTITIONS):
        wire.frames(5, number)
    wait_for(lambda: len(read_labels(deployment.settings())) == 5 * PARTITIONS, 60, "the first labels", processes)

    grow(deployment, names.frames, names.retry, names.batches, names.labels)
    started_s = time.monotonic()
    expected = write_to_new_partitions(deployment)

    def labelled() -> set[tuple[int, int]]:
        return {(one.source.partition, one.source.offset) for one in read_labels(deployment.settings())}

    def seen() -> set[tuple[int, int]]:
        return {(line["source"]["partition"], line["source"]["offset"]) for line in subscriber.json_lines()}

    def left_s() -> float:
        return WITHIN_S - (time.monotonic() - started_s)

    wait_for(lambda: expected <= labelled(), left_s(), "a label of every record", processes)

    wait_for(lambda: expected <= seen(), left_s(), "the labels in the subscriber", [subscriber])

    wait_for(lambda: set(groups.lags()) == {0}, left_s(), "a lag of 0 in every group", processes)
    assert all(offset >= 0 for found in groups.committed().values() for offset in found.values())
    for process in processes:
        assert process.stop() == 0, process.stderr
