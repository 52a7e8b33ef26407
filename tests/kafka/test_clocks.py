"""Retention on a real broker that checks every two seconds: it does not go by the clocks of cameras."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from infra.kafka.clients import admin
from infra.kafka.publisher import Publisher
from infra.kafka.reader import Reader
from infra.process.times import now_us
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import Outbox
from schemas.records import Encoding, SourceKind
from tests.support.batches import wait_for
from tests.support.deployment import Deployment, deployment
from tests.support.runner import Runner
from tests.support.services import local_services
from tests.support.sink_records import Wire
from tests.support.stream_ends import jpeg

pytestmark = pytest.mark.timeout(300)

RETENTION_H = 1
SEGMENT_BYTES = 1024 * 1024  # the least that Kafka takes
FRAMES = 12  # of about 300 kB each: several segments
CLOCKS = {"stands-at-1970": 0, "is-in-2099": 4_080_000_000_000_000}


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployment]:
    """On a broker of its own, with small segments, so that retention has something to remove."""
    impatient = {"log.retention.check.interval.ms": "2000", "log.initial.task.delay.ms": "1000"}
    with (
        local_services(tmp_path, properties=impatient) as services,
        deployment(services, SIGHTLINE_TOPICS__FRAMES_RETENTION_H=str(RETENTION_H)) as made,
    ):
        set_on_frames(made, "segment.bytes", SEGMENT_BYTES)
        yield made


def set_on_frames(deployed: Deployment, name: str, value: int) -> None:
    changed = ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource("topic", deployed.topics.frames, incremental_configs=[changed])
    client = admin(deployed.settings())
    for answer in client.incremental_alter_configs([topic]).values():
        answer.result(30)


def publish(deployed: Deployment, source_id: str, captured_at: int) -> None:
    """Frames as every producer of ours sends them."""
    settings = deployed.settings()
    publisher, drops = Publisher(settings), DropCounts()
    outbox = Outbox(publisher, deployed.topics.frames, drops.add, retention_h=settings.topics.frames_retention_h)
    for number in range(FRAMES):
        image = jpeg(number, side=512)
        frame = OutgoingFrame(source_id, SourceKind.CAMERA, 1, captured_at, now_us(), Encoding.JPEG, image, "sim:noise")
        assert outbox.publish(frame, lambda: False)
    assert publisher.close(60) == 0
    assert outbox.delivered() == {source_id: FRAMES}, drops.total()


def kept(deployed: Deployment, topic: str) -> int:
    """How many offsets the topic still holds."""
    with Reader(deployed.settings()) as reader:
        return sum(len(span) for span in reader.spans(topic))


def written_with_the_time_of_1970(deployed: Deployment) -> str:
    """A topic to compare with: its records have the times that a camera's clock would give them."""
    topic, client = f"{deployed.prefix}compare", admin(deployed.settings())
    limits = {"retention.ms": str(RETENTION_H * 3_600_000), "segment.bytes": str(SEGMENT_BYTES)}
    client.create_topics([NewTopic(topic, 1, 1, config=limits)])[topic].result(30)
    Wire(deployed).send_all(topic, [bytes(300_000)] * FRAMES, timestamp_ms=1)
    return topic


@pytest.mark.system
def test_an_outage_takes_no_frame_of_a_camera_whose_clock_is_off_and_their_day_still_ends(deployed: Deployment) -> None:
    """The stages are away until retention has taken whatever has the time of 1970."""
    for source_id, captured_at in CLOCKS.items():
        publish(deployed, source_id, captured_at)
    compared = written_with_the_time_of_1970(deployed)
    wait_for(lambda: kept(deployed, compared) < FRAMES, 60, "retention at work", [])
    time.sleep(5)  # two more checks
    assert kept(deployed, deployed.topics.frames) == FRAMES * len(CLOCKS)

    runner = Runner(deployed.env)
    try:
        stages = [runner.start(name, "--model", "null", "--no-cache") for name in ("stream", "infer")]
        done = runner.run("audit", "--json", "--from", "-10m", "--wait", "60")
        found = json.loads(done.stdout)
        assert (found["ok"], found["frames"], found["labels"]) == (True, FRAMES * len(CLOCKS), FRAMES * len(CLOCKS))
        [note] = [note for note in found["notes"] if "clocks" in note]
        assert all(source_id in note for source_id in CLOCKS)
        for stage in stages:
            assert stage.stop() == 0, stage.stderr
    finally:
        runner.close()

    set_on_frames(deployed, "retention.ms", 1_000)
    wait_for(lambda: kept(deployed, deployed.topics.frames) == 0, 60, "an end of what is older than a second", [])
