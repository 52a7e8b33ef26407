"""`sightline redrive --missing` on a real broker: every frame without an outcome is sent again, once."""

import json
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from infra.kafka import clients
from infra.kafka.group_offsets import set_group_offsets
from infra.kafka.topics import group
from schemas import codec, coordinates
from schemas.coordinates import Coordinates
from schemas.headers import Failure, attempt_of, failure_headers, read_failure
from schemas.records import MicroBatch
from tests.support.batches import Feeder, read_all, wait_for
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.runner import Runner
from tests.support.sink_records import Wire

NULL = {"SIGHTLINE_INFER__MODEL": "null", "SIGHTLINE_INFER__CACHE": "false", "SIGHTLINE_STREAM__CACHE": "false"}


def redrive(sightline: Runner, *words: str) -> tuple[int, dict[str, Any]]:
    done = sightline.run("redrive", "--missing", "--json", *words)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def copies(deployment: Deployment) -> list[Coordinates]:
    """Whose frames the retry topic holds."""
    records = read_all(deployment.settings(), deployment.topics.retry)
    assert all(attempt_of(record.headers) == 1 for record in records)
    return [failure.source for record in records if (failure := read_failure(record.headers)) is not None]


@pytest.mark.system
def test_frames_of_lost_batches_come_through_and_the_audit_is_clean(
    sightline: Runner, wire: Wire, deployment: Deployment
) -> None:
    """Micro-batches are deleted before a worker has read them, as by a retention that is too short."""
    stage = sightline.start("stream", env=NULL)
    lost = [source for partition in range(PARTITIONS) for source in wire.frames(5, partition)]
    batches = deployment.topics.batches

    def packed() -> int:
        records = read_all(deployment.settings(), batches)
        return sum(len(codec.decode(MicroBatch, record.value).items) for record in records)

    wait_for(lambda: packed() == len(lost), 60, "micro-batches", [stage])
    assert stage.stop() == 0, stage.stderr
    admin = clients.admin(deployment.settings())  # kept in a variable: without the client its answers are lost
    for done in admin.delete_records([TopicPartition(batches, number, -1) for number in range(PARTITIONS)]).values():
        done.result(30)
    stage, worker = sightline.start("stream", env=NULL), sightline.start("infer", env=NULL)
    kept = [source for partition in range(PARTITIONS) for source in wire.frames(3, partition)]
    wait_for(lambda: audited(sightline)["labels"] == len(kept), 60, "labels of what was not lost", [stage, worker])
    assert audited(sightline)["missing_count"] == len(lost)

    code, found = redrive(sightline)
    assert (code, found["executed"], found["chosen"], found["redriven"]) == (0, False, len(lost), 0)
    assert copies(deployment) == []
    code, found = redrive(sightline, "--execute")
    assert (code, found["chosen"], found["redriven"], found["failed"]) == (0, len(lost), len(lost), 0)
    code, found = redrive(sightline, "--execute")
    assert (code, found["chosen"], found["redriven"]) == (0, 0, 0), "what is on its way is not sent twice"
    assert sorted(map(str, copies(deployment))) == sorted(map(str, lost))
    settled = json.loads(sightline.run("audit", "--json", "--wait", "60").stdout)
    assert settled["ok"] is True
    assert (settled["labels"], settled["dead"], settled["duplicates"]) == (len(lost) + len(kept), 0, 0)


def audited(sightline: Runner) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sightline.run("audit", "--json").stdout)
    return found


def test_only_the_range_is_sent_and_what_retention_removed_is_told(
    sightline: Runner, wire: Wire, deployment: Deployment
) -> None:
    old = wire.frames(10)
    wire.labels([source for source in old if source.offset not in (2, 3, 7)])
    deployment.delete_before(deployment.topics.frames, 5)
    code, found = redrive(sightline, "--from", "-1h", "--execute")
    assert (code, found["chosen"], found["redriven"], found["expired"]) == (1, 1, 1, 2)
    place = {"topic": deployment.topics.frames, "partition": 0, "from": 2, "to": 3}
    assert found["expired_ranges"] == [place]
    assert copies(deployment) == [old[7]]
    text = sightline.run("redrive", "--missing")
    assert text.returncode == 1
    assert f"{deployment.topics.frames}/0 offsets 2 to 3" in text.stdout
    assert "left alone 1: a stage still has them" in text.stdout
    assert redrive(sightline, "--from", "-2h", "--to", "-1h")[1]["chosen"] == 0


def test_what_a_stage_still_has_is_left_alone(
    sightline: Runner, wire: Wire, feeder: Feeder, deployment: Deployment
) -> None:
    """Frames that wait in a micro-batch, for another attempt, and unread."""
    feeder.feed(batches=1, frames_per_batch=2, with_frames=True)
    assert feeder.publisher.flush(30) == 0
    retried, lost, unread = wire.frames(3)
    assert (retried.offset, unread.offset) == (2, 4)
    headers = failure_headers(None, Failure(retried, 1, "infer", "ModelError", "", 1))
    wire.send(deployment.topics.retry, b"a frame", headers=headers)
    stage = group("stream", deployment.prefix)
    place = coordinates.TopicPartition(deployment.topics.frames, 0)
    set_group_offsets(deployment.settings(), stage, {place: unread.offset}, 30)
    code, found = redrive(sightline, "--execute")
    assert (code, found["chosen"], found["redriven"], found["under_way"]) == (0, 1, 1, 4)
    assert copies(deployment) == [retried, lost]


def test_where_a_newer_version_may_have_written_the_outcomes_nothing_is_sent_unasked(
    sightline: Runner, wire: Wire, deployment: Deployment
) -> None:
    wire.frames(2)
    label = wire.send(deployment.topics.labels, b"\xc3\x01" + bytes(20))
    refused = sightline.run("redrive", "--missing", "--execute")
    assert refused.returncode == 1
    assert "nothing was sent: a newer version may have written outcomes of these 2 frames" in refused.stderr
    assert f"{label.topic}/{label.partition} offset {label.offset}" in refused.stderr
    assert copies(deployment) == []
    assert any("missing frames may have a label; upgrade this program" in note for note in audited(sightline)["notes"])
    assert redrive(sightline, "--execute", "--ignore-newer")[1]["redriven"] == 2


def test_missing_frames_are_chosen_by_time_alone(sightline: Runner) -> None:
    wrong = sightline.run("redrive", "--missing", "--stage", "infer")
    assert (wrong.returncode, "--missing chooses by --from, --to and --lane only" in wrong.stderr) == (2, True)
