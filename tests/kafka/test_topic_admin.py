"""Topics on a real broker: created when missing, compared when they exist, never changed."""

import json

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


def test_frames_of_eight_mib_from_a_camera_ahead_of_time_are_taken(deployment: Deployment) -> None:
    ten_days_ahead_ms = 864_000_000 + 4_000_000_000_000
    failed: list[object] = []
    limits = {"message.max.bytes": 20_000_000, "bootstrap.servers": deployment.services.bootstrap_servers}
    producer = Producer(limits)
    for topic, size in (
        (deployment.topics.frames, 8 * 1024 * 1024 - 1000),
        (deployment.topics.dead, 9 * 1024 * 1024 - 1000),
    ):
        producer.produce(
            topic,
            bytes(size),
            timestamp=ten_days_ahead_ms,
            on_delivery=lambda error, _message: failed.append(error) if error else None,
        )
    assert producer.flush(60) == 0
    assert failed == []


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
