"""Frames from a topic with a larger size limit than the output topics have: they become dead letters, nothing stops."""

import queue
import time

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from infra.kafka import clients
from infra.kafka.errors import FaultKind
from infra.kafka.publisher import Publisher
from infra.kafka.sender import DeliveryReport, OutRecord
from infra.settings import MIB
from schemas import codec, headers
from schemas.records import Encoding, Frame, SourceKind
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.runner import Runner
from tests.support.stream_ends import Outcomes, Place, jpeg, wait_committed

pytestmark = pytest.mark.timeout(300)

LARGE = 12 * MIB
LIMIT = 20 * MIB


@pytest.fixture
def places(deployment: Deployment) -> set[Place]:
    """Writes three records to each partition: a valid frame, a too large record that is no frame, a valid frame."""
    settings = deployment.settings(kafka={"producer": {"message.max.bytes": LIMIT}})
    larger = ConfigEntry("max.message.bytes", str(LIMIT), incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource("topic", deployment.topics.frames, incremental_configs=[larger])
    admin = clients.admin(settings)  # kept in a variable: without the client its answer is lost
    for changed in admin.incremental_alter_configs([topic]).values():
        changed.result(30)
    publisher = Publisher(settings)
    written = {
        (partition, write(publisher, deployment.topics.frames, partition, value))
        for partition in range(PARTITIONS)
        for value in (a_frame(partition), b"x" * LARGE, a_frame(partition + PARTITIONS))
    }
    assert publisher.close(60) == 0
    return written


def write(publisher: Publisher, topic: str, partition: int, value: bytes) -> int:
    """Write the record; returns its offset. Tries again: a broker learns of a topic's new limit a little later."""
    answers = queue.Queue[DeliveryReport]()
    record = OutRecord(topic, "cam", value, partition=partition, on_delivery=answers.put)
    until = time.monotonic() + 30
    while True:
        publisher.send(record)
        report = answers.get(timeout=60)
        if report.fault is None:
            return report.offset
        assert report.fault.kind is FaultKind.TOO_LARGE, report.fault
        assert time.monotonic() < until, report.fault
        time.sleep(0.2)


def a_frame(number: int) -> bytes:
    return codec.encode(
        Frame(f"cam/1/{number}", "cam", SourceKind.CAMERA, 1, number, 7, 8, Encoding.JPEG, jpeg(number))
    )


def test_a_frame_too_large_for_a_dead_letter_leaves_its_coordinates_and_holds_up_nothing(
    deployment: Deployment, sightline: Runner, outcomes: Outcomes, places: set[Place]
) -> None:
    stage = sightline.start("stream", "--model", "null", "--no-cache")
    assert set(outcomes.wait_for(places).values()) == {1}
    assert sum(len(batch.items) for batch, _ in outcomes.batches) == 2 * PARTITIONS, "those behind it go on"
    assert len(outcomes.dead) == PARTITIONS
    for dead in outcomes.dead:
        failure = headers.read_failure(dead.headers)
        assert failure is not None
        assert (failure.source.topic, failure.source.offset) == (deployment.topics.frames, 1)
        assert failure.error_class == "not_avro"
        assert f"value of {LARGE} bytes left out" in failure.message
        assert (dead.key, dead.value) == (b"cam", None)
    wait_committed(deployment, len(places))
    assert stage.exit_code is None
    assert stage.stop() == 0, stage.stderr
    refused = sightline.run("redrive", "--all")
    assert f"refused {PARTITIONS}: the dead letter was written without its frame" in refused.stdout
