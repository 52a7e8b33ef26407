"""Topics that are deleted, and made again: nothing of the new one is passed over, and no deleted one comes back."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition as Place

from infra.kafka import clients
from infra.kafka.consumer import GroupConsumer
from infra.kafka.membership import Membership
from infra.kafka.records import ConsumedRecord
from infra.kafka.topic_ids import read_topic_ids
from infra.kafka.topics import group
from schemas.coordinates import Coordinates, TopicPartition
from tests.support.batches import Feeder, wait_for
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.deployment import deployment as deployment_of
from tests.support.runner import Runner, Running
from tests.support.services import Services, local_services
from tests.support.sink_records import Wire
from tests.support.stream_ends import Feed, wait_committed

pytestmark = pytest.mark.timeout(300)

STREAM = ("stream", "--model", "null", "--no-cache")
NULL = ("--model", "null", "--no-cache")


def commits_of(deployment: Deployment, topic: str, kind: str) -> list[Any]:
    """What the group has committed, with its notes."""
    client = clients.consumer(deployment.settings(), group(kind, deployment.prefix))
    try:
        return [one for one in client.committed([Place(topic, one) for one in range(PARTITIONS)], 10) if one.offset > 0]
    finally:
        client.close()


def make_again(deployment: Deployment, topic: str, kind: str) -> None:
    """Delete the topic and create it while its group is away, and commit what was committed for the one before.

    The broker forgets the offsets of a topic that is deleted. A member that still runs commits its own once more.
    """
    kept = commits_of(deployment, topic, kind)
    assert kept and all(one.metadata.startswith("topic-id:") for one in kept), kept
    deployment.make_again(topic)
    client = clients.consumer(deployment.settings(), group(kind, deployment.prefix))
    client.commit(offsets=kept, asynchronous=False)
    client.close()


@pytest.mark.system
def test_the_stage_reads_a_new_topic_from_its_beginning(deployment: Deployment, sightline: Runner) -> None:
    with closing(Feed(deployment)) as before:
        for number in range(40):
            before.send(number)
    stage = sightline.start(*STREAM)
    wait_committed(deployment, 40)
    assert stage.stop() == 0
    make_again(deployment, deployment.topics.frames, "stream")
    with closing(Feed(deployment)) as after:
        for number in range(60):
            after.send(number)
    stage = sightline.start(*STREAM)
    wait_for(lambda: stage.metric("sightline_stream_frames_total") == 60, 60, "every frame", [stage])
    wait_committed(deployment, 60)


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_a_worker_reads_a_new_topic_from_its_beginning(
    feeder: Feeder, sightline: Runner, deployment: Deployment, delivery: str
) -> None:
    feeder.feed(batches=20)
    worker = sightline.start("infer", *NULL, "--delivery", delivery)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [worker])
    assert worker.stop() == 0, worker.stderr
    make_again(deployment, deployment.topics.batches, "infer")
    known = len(feeder.frames)
    feeder.feed(batches=40)
    worker = sightline.start("infer", *NULL, "--delivery", delivery)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [worker])
    assert len(feeder.frames) == 3 * known
    assert worker.stop() == 0, worker.stderr
    assert "of another topic of this name" in worker.stderr


def test_a_sink_reads_a_new_topic_from_its_beginning(
    wire: Wire, sightline: Runner, deployment: Deployment, tmp_path: Path
) -> None:
    """Also one whose target does not keep positions; this one ignores those of another topic by itself."""
    env = {"SIGHTLINE_SINK__FLUSH_INTERVAL_MS": "100"}

    def written(sink: Running) -> float:
        return sink.metric("sightline_sink_labels_total", result="written")

    sink = sightline.start("sink", "jsonl", str(tmp_path / "one"), env=env)
    wire.labels([Coordinates(wire.topics.frames, 0, offset) for offset in range(20)])
    wait_for(lambda: written(sink) == 20, 30, "labels", [sink])
    assert sink.stop() == 0
    make_again(deployment, deployment.topics.labels, "sink-jsonl")
    wire.labels([Coordinates(wire.topics.frames, 1, offset) for offset in range(30)])
    sink = sightline.start("sink", "jsonl", str(tmp_path / "other"), env=env)
    wait_for(lambda: written(sink) == 30, 30, "labels of the new topic", [sink])
    assert sink.stop() == 0


class Owner:
    """Takes whatever it is assigned."""

    def on_assign(self, partitions: list[TopicPartition]) -> None: ...

    def on_revoke(self, partitions: list[TopicPartition]) -> None: ...

    def on_lost(self, partitions: list[TopicPartition]) -> None: ...


@pytest.mark.parametrize("membership", [None, Membership("classic"), Membership("consumer")], ids=str)
def test_a_member_of_any_protocol_begins_at_an_offset_of_this_very_topic(
    deployment: Deployment, wire: Wire, membership: Membership | None
) -> None:
    settings, topic = deployment.settings(), deployment.topics.retry

    def read(count: int) -> list[int]:
        """The first offsets that a new member is given; they are committed."""
        ids = read_topic_ids(settings, [topic])
        member = GroupConsumer(settings, f"{deployment.prefix}g", membership=membership, topic_ids=ids)
        member.subscribe([topic], Owner())
        found: list[int] = []
        until = time.monotonic() + 60
        while len(found) < count:
            assert time.monotonic() < until, found
            record = member.poll(0.2)
            if isinstance(record, ConsumedRecord):
                found.append(record.offset)
        member.commit({TopicPartition(topic, 0): found[-1] + 1})
        member.close()
        return found

    wire.send_all(topic, [b"old"] * 20)
    assert read(5) == [0, 1, 2, 3, 4]
    assert read(5) == [5, 6, 7, 8, 9]
    client = clients.consumer(settings, f"{deployment.prefix}g")
    stale = client.committed([Place(topic, 0)], 10)
    deployment.make_again(topic)
    client.commit(offsets=stale, asynchronous=False)
    client.close()
    wire.send_all(topic, [b"new"] * 20)
    assert read(12) == list(range(12))


@pytest.fixture(scope="module")
def creating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A broker that creates every topic that a client asks for, with one partition."""
    properties = {"auto.create.topics.enable": "true", "num.partitions": "1"}
    with local_services(tmp_path_factory.mktemp("creating"), properties=properties) as started:
        yield started


@pytest.mark.timeout(600)
@pytest.mark.system
def test_a_deleted_topic_does_not_come_back_because_everybody_asks_for_it(creating: Services, tmp_path: Path) -> None:
    with deployment_of(creating) as deployed, closing(Runner(deployed.env)) as runner:
        names = deployed.topics
        camera = runner.start("camera", "--id", "door", "--source", "sim:coffee", "--fps", "5")
        stage, worker = runner.start(*STREAM), runner.start("infer", *NULL)
        sink = runner.start("sink", "jsonl", str(tmp_path / "out"))
        subscriber = runner.start("subscribe", "--dedupe", "--format", "json")
        wait_for(lambda: len(subscriber.json_lines()) > 20, 60, "labels", [camera, stage, worker, subscriber])
        deployed.delete(names.frames)
        assert stage.wait(30) == 1
        assert f"the topic {names.frames} was deleted: make it again with" in stage.stderr.splitlines()[-1]
        assert stage.stderr.count("not found in cluster metadata") <= 1
        doctor, lag = runner.run("doctor"), runner.run("audit")
        assert f"{names.frames}" in doctor.stdout + doctor.stderr
        assert "sightline topics create" in lag.stderr
        again = runner.run(*STREAM)
        assert again.returncode == 1 and f"no topic {names.frames}" in again.stderr.splitlines()[-1]
        time.sleep(35)  # after 30 s the camera's client gives up frames for a topic that it does not find
        assert names.frames not in deployed.existing()
        assert all(one.exit_code is None for one in (camera, worker, sink, subscriber))
        lost = camera.metric("sightline_source_frames_dropped_total", reason="undelivered")
        assert lost > 50
        assert 1 <= camera.stderr.count("frames not delivered") <= 2
        deployed.create_topics()
        known = len(subscriber.json_lines())
        stage = runner.start(*STREAM)
        wait_for(lambda: len(subscriber.json_lines()) > known + 20, 60, "labels again", [camera, stage, worker])
        for topic in (names.batches, names.labels):
            deployed.make_again(topic)
        for process, topic in ((stage, names.batches), (worker, names.batches), (sink, names.labels)):
            assert process.wait(30) == 1
            assert f"the topic {topic} was deleted and made again" in process.stderr.splitlines()[-1]
        for topic in (names.frames, names.batches, names.labels):
            assert deployed.partitions(topic) == PARTITIONS
