"""Topics on a real broker: created when missing, compared when they exist, never changed."""

import json
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from infra.kafka.topic_admin import Difference, TopicCheck, check_topics, ensure_topics
from infra.kafka.topics import specs
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.runner import Runner


def test_created_topics_are_as_the_design_says(deployment: Deployment) -> None:
    settings = deployment.settings()
    report = ensure_topics(settings)
    assert report.created == ()
    assert set(report.existing) == {spec.name for spec in specs(settings)}
    assert report.differences == ()
    assert check_topics(settings) == TopicCheck([], [], [])


def refusals(deployment: Deployment, topic: str, size: int, timestamp_ms: int) -> list[str]:
    """What the broker says to a record of that size and time, from a producer that is not ours."""
    failed: list[str] = []
    producer = Producer({"message.max.bytes": 20_000_000, "bootstrap.servers": deployment.services.bootstrap_servers})
    producer.produce(
        topic,
        bytes(size),
        timestamp=timestamp_ms,
        on_delivery=lambda error, _message: failed.append(error.name()) if error else None,
    )
    assert producer.flush(60) == 0
    return failed


def test_frames_of_eight_mib_from_a_machine_in_another_time_zone_are_taken(deployment: Deployment) -> None:
    ahead_ms = time.time_ns() // 1_000_000 + 14 * 3_600_000
    for topic, size in (
        (deployment.topics.frames, 8 * 1024 * 1024 - 1000),
        (deployment.topics.dead, 9 * 1024 * 1024 - 1000),
    ):
        assert refusals(deployment, topic, size, ahead_ms) == []


def test_a_frame_of_2096_is_refused_and_other_topics_take_a_stage_whose_clock_is_ahead(deployment: Deployment) -> None:
    in_2096_ms = 4_000_000_000_000
    assert refusals(deployment, deployment.topics.frames, 10, in_2096_ms) == ["INVALID_TIMESTAMP"]
    for topic in (deployment.topics.batches, deployment.topics.labels, deployment.topics.retry, deployment.topics.dead):
        assert refusals(deployment, topic, 10, in_2096_ms) == []


def test_differences_are_listed_and_left_alone(deployment: Deployment, sightline: Runner) -> None:
    frames = deployment.topics.frames
    settings = deployment.settings(topics={"partitions": PARTITIONS + 1, "frames_retention_h": 48})
    found = ensure_topics(settings).differences
    assert Difference(frames, "partitions", str(PARTITIONS), str(PARTITIONS + 1)) in found
    assert Difference(frames, "retention.ms", str(24 * 3_600_000), str(48 * 3_600_000)) in found
    assert ensure_topics(deployment.settings()).differences == ()

    done = sightline.run("topics", "create", env={"SIGHTLINE_TOPICS__FRAMES_RETENTION_H": "48"})
    assert done.returncode == 1
    assert f"differs  {frames}: retention.ms is 86400000, should be 172800000" in done.stdout


def test_what_is_missing_is_created(deployment: Deployment, sightline: Runner) -> None:
    labels = deployment.topics.labels
    client = AdminClient({"bootstrap.servers": deployment.services.bootstrap_servers})
    client.delete_topics([labels])[labels].result(30)
    while labels in client.list_topics(timeout=30).topics:
        pass
    assert check_topics(deployment.settings()) == TopicCheck([labels], [], [])
    done = sightline.run("topics", "create", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["created"] == [labels]
    assert len(report["existing"]) == len(specs(deployment.settings())) - 1


def test_no_kafka_is_one_sentence(sightline: Runner) -> None:
    env = {"SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "SIGHTLINE_KAFKA__START_TIMEOUT_MS": "500"}
    done = sightline.run("topics", "create", env=env)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("sightline: Kafka does not answer at 127.0.0.1:1: ")
    assert "sightline up" in done.stderr
