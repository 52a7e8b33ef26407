"""`sightline explain` on a real broker with the real stages: one frame in each state that a frame can be in."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from infra.kafka.clients import consumer
from infra.kafka.reader import Reader
from infra.kafka.topics import TopicNames, group
from infra.process.lifecycle import Deadline
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.errors import ConfigError, SightlineError
from schemas.headers import Failure, failure_headers
from schemas.records import ModelRef
from sinks.explain.fields import life_json
from sinks.explain.look import SHORT_READS, Looker, Range
from sinks.explain.save import check_path
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.runner import Runner
from tests.support.sink_records import Wire, a_frame, a_jpeg, a_label

pytestmark = pytest.mark.timeout(180)


def explain(deployment: Deployment, asked: object) -> dict[str, Any]:
    """What `explain --json` prints, without a process of its own."""
    settings = deployment.settings()
    with Reader(settings, **SHORT_READS) as reader:
        looker = Looker(settings, reader, "live", Deadline(30).expired)
        limits = Range(None, None)
        return life_json(looker.life_of(looker.place_of(str(asked), limits), limits), str(asked), None)


def refused(deployment: Deployment, asked: object) -> str:
    """The sentence with which the command would end."""
    with pytest.raises(SightlineError) as caught:
        explain(deployment, asked)
    return str(caught.value)


def wait_for_sentence(deployment: Deployment, asked: object, wanted: str) -> dict[str, Any]:
    until = time.monotonic() + 30
    while True:
        found = explain(deployment, asked)
        if wanted in found["sentence"]:
            return found
        assert time.monotonic() < until, found
        time.sleep(0.2)


@pytest.mark.system
def test_a_frame_on_its_way_through_the_real_stages(
    deployment: Deployment, sightline: Runner, wire: Wire, tmp_path: Path
) -> None:
    last = wire.frames(3)[-1]
    found = explain(deployment, last)
    assert (found["state"], found["complete"]) == ("waits", True), found
    assert found["sentence"] == f"waits in {last.topic}: the stream stage is 2 frames away"

    stage = sightline.start("stream", "--model", "null", env={"SIGHTLINE_STREAM__CACHE": "false"})
    found = wait_for_sentence(deployment, last, "micro-batch")
    assert (found["state"], found["batch"]["topic"]) == ("waits", deployment.topics.batches)
    assert "the workers have 0 micro-batches before it" in found["sentence"]

    worker = sightline.start("infer", "--model", "null", "--no-cache")
    found = wait_for_sentence(deployment, last, "labelled")
    assert [step["step"] for step in found["steps"]] == [
        "captured", "received", "written", "read", "prepared and batched", "run and labelled", "label written",
    ]  # fmt: skip
    assert [step["step"] for step in found["steps"] if step["at"] is None] == ["written", "read"]
    assert all(step["took_ms"] >= 0 for step in found["steps"] if step["took_ms"] is not None)
    (label,) = found["labels"]
    assert label["source"] == {"topic": last.topic, "partition": last.partition, "offset": last.offset}
    assert (label["threshold"], label["score_kind"]) == (0.35, "probability")
    assert label["score"] == label["predictions"][0]["probability"]
    assert stage.stop() == worker.stop() == 0

    # By its id, by the label's place, and without the prefix.
    label_place = f"{label['topic']}/{label['partition']}/{label['offset']}"
    for asked in (found["frame"]["frame_id"], label_place, str(last).removeprefix(deployment.prefix)):
        assert explain(deployment, asked)["labels"] == found["labels"]
    picture = tmp_path / "picture.jpg"
    done = sightline.run("explain", str(last), "--save", str(picture))
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes() == a_jpeg()
    assert all(part in done.stdout for part in ("by the model", "against 0.35", "note: the picture is in"))


def test_every_outcome_and_what_it_means(deployment: Deployment, sightline: Runner, wire: Wire, tmp_path: Path) -> None:
    names = deployment.topics
    twice, dead, retried, again, lost = wire.frames(5)
    wire.label(twice)
    wire.label(twice, score=0.91, threshold=0.5, score_kind="probability")
    wire.label(twice, frame_id="dock-1/0/0")
    replayed = a_label(
        Coordinates("frames.replay", 0, 9), frame_id="dock-1/1/0", replay_of=twice, replay_id="r1",
        model=ModelRef("null", "2", "none"),
    )  # fmt: skip
    wire.send(TopicNames.for_lane(deployment.prefix, "replay").labels, codec.encode(replayed))
    letter = wire.dead(dead, stage="stream", error_class="truncated", message="the JPEG ends early")
    failure = Failure(retried, 0, "infer", "ModelError", "no room", 2)
    wire.send(names.retry, codec.encode(a_frame(2)), headers=failure_headers(None, failure))
    wire.dead(again)

    found = explain(deployment, twice)
    assert (found["state"], len(found["labels"])) == ("labelled", 2)
    assert [label["score"] for label in found["labels"]] == [None, 0.91]
    assert [(each["replay_id"], each["model"]["version"]) for each in found["replays"]] == [("r1", "2")]
    assert any("made again" in note for note in found["notes"])
    found = explain(deployment, dead)
    assert (found["state"], found["dead_letters"][0]["message"]) == ("dead", "the JPEG ends early")
    assert explain(deployment, letter)["frame"]["offset"] == dead.offset
    found = explain(deployment, retried)
    assert (found["state"], "for attempt 2, from" in found["sentence"]) == ("waits", True)

    commit(deployment, "stream", names.frames, lost.offset + 1)
    found = explain(deployment, lost)
    assert (found["state"], "`sightline redrive --missing`" in found["sentence"]) == ("missing", True)
    done = sightline.run("explain", str(lost), "--json")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (1, "missing"), done.stderr

    kept = tmp_path / "kept.jpg"
    kept.write_bytes(b"mine")
    for path, why in ((kept, "exists"), (tmp_path, "is a folder"), (tmp_path / "no" / "x.jpg", "there is no folder")):
        with pytest.raises(ConfigError, match=why):
            check_path(path)
    assert kept.read_bytes() == b"mine"


def test_what_cannot_be_explained_is_said_in_a_sentence(deployment: Deployment, sightline: Runner, wire: Wire) -> None:
    frames = deployment.topics.frames
    first, second = wire.frames(1, partition=0)[0], wire.frames(1, partition=1)[0]
    partitions = f"{frames} has {PARTITIONS} partitions, 0 to {PARTITIONS - 1}, and no {PARTITIONS}"
    assert refused(deployment, f"{frames}/{PARTITIONS}/0") == partitions
    assert "ends before offset 1: there is no record at 1 yet" in refused(deployment, f"{frames}/0/1")
    assert "there is no topic frames.rwa of ours" in refused(deployment, "frames.rwa/0/1")
    assert "is neither TOPIC/PARTITION/OFFSET nor a frame id" in refused(deployment, "dock-1")
    assert "holds no frames" in refused(deployment, deployment.topics.batches + "/0/0")
    for place in (first, second):  # a topic that was made again: the same id at two places
        wire.label(place, frame_id="dock-1/1/0")
    told = refused(deployment, "dock-1/1/0")
    assert ("was found 2 times" in told, str(second) in told) == (True, True), told
    away = sightline.run("explain", str(first), env={"SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert (away.returncode, "does not answer" in away.stderr) == (1, True), away.stderr
    assert "Traceback" not in away.stderr


def test_a_frame_that_retention_removed_is_told_by_its_label(
    deployment: Deployment, sightline: Runner, wire: Wire, tmp_path: Path
) -> None:
    gone, kept = wire.frames(2)
    wire.label(gone)
    deployment.delete_before(kept.topic, kept.offset)
    found = explain(deployment, gone)
    assert (found["state"], found["frame"]["there"]) == ("labelled", False)
    assert found["frame"]["fault"] == f"removed by retention: the partition begins at offset {kept.offset} now"
    assert found["steps"][0]["at"] is None
    done = sightline.run("explain", str(gone), "--save", str(tmp_path / "x.jpg"))
    assert (done.returncode, "there is no picture" in done.stderr) == (2, True), done.stderr


def commit(deployment: Deployment, kind: str, topic: str, offset: int) -> None:
    """As if the stage had finished what is before that offset of partition 0."""
    member = consumer(deployment.settings(), group(kind, deployment.prefix))
    member.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    member.close()
