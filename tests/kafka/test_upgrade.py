"""Versions side by side on a real broker: the one before this, this one, and one to come with other schemas."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infra.kafka.group_offsets import committed_offsets
from infra.kafka.topics import group
from schemas.coordinates import TopicPartition
from tests.support.batches import read_all, wait_for
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.runner import Runner, Running
from tests.support.sink_records import Wire
from tests.support.versions import next_version, previous_version, runner_of

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]

NULL = {
    "SIGHTLINE_INFER__MODEL": "null",
    "SIGHTLINE_INFER__CACHE": "false",
    "SIGHTLINE_STREAM__CACHE": "false",
    "SIGHTLINE_STREAM__DECODERS": "1",
}
CAMERAS = "".join(
    f'[[camera]]\nid = "cam-{number}"\nsource = "sim:coffee?size=160x120"\nfps = 8\n' for number in range(4)
)
BESIDE_S = 4.0


@pytest.fixture
def present(deployment: Deployment) -> Iterator[Runner]:
    with closing(Runner({**deployment.env, **NULL})) as runner:
        yield runner


@pytest.fixture
def previous(deployment: Deployment, tmp_path: Path) -> Iterator[Runner]:
    with closing(runner_of(previous_version(tmp_path / "previous"), {**deployment.env, **NULL})) as runner:
        yield runner


@pytest.fixture
def coming(deployment: Deployment, tmp_path: Path) -> Iterator[Runner]:
    with closing(runner_of(next_version(tmp_path / "next"), {**deployment.env, **NULL})) as runner:
        yield runner


def cameras(runner: Runner, tmp_path: Path) -> Running:
    config = tmp_path / "cameras.toml"
    config.write_text(CAMERAS)
    return runner.start("camera", "--config", str(config))


def audit(runner: Runner, wait_s: float = 90.0) -> dict[str, Any]:
    done = runner.run("audit", "--json", "--wait", str(wait_s), timeout_s=wait_s + 60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def expect_each_frame_labelled(runner: Runner, at_least: int) -> None:
    """By coordinates: every frame has a label and none is dead."""
    found = audit(runner)
    print(found)
    assert found["ok"], found
    assert (found["dead"], found["missing_count"]) == (0, 0)
    assert found["labels"] == found["frames"] >= at_least


@pytest.mark.parametrize("upgraded_first", ["stage", "worker"])
def test_a_stage_and_a_worker_of_two_versions_work_together(
    present: Runner, previous: Runner, tmp_path: Path, upgraded_first: str
) -> None:
    stages, workers = (present, previous) if upgraded_first == "stage" else (previous, present)
    worker, stage = workers.start("infer"), stages.start("stream")
    for sender in (previous, present):
        agent = cameras(sender, tmp_path)
        time.sleep(BESIDE_S)
        assert agent.stop() == 0, agent.stderr
    expect_each_frame_labelled(present, at_least=60)
    assert (stage.stop(), worker.stop()) == (0, 0), stage.stderr + worker.stderr


@pytest.mark.parametrize("order", [("infer", "stream", "camera"), ("camera", "stream", "infer")], ids="-".join)
def test_a_rolling_upgrade_under_load_loses_nothing_and_leaves_nothing_dead(
    present: Runner, previous: Runner, tmp_path: Path, order: tuple[str, ...]
) -> None:
    """Two stages and two workers, replaced one by one while cameras send.

    Either order: a micro-batch is written as the oldest version that holds it.
    """
    old: dict[str, list[Running]] = {
        "infer": [previous.start("infer") for _ in range(2)],
        "stream": [previous.start("stream") for _ in range(2)],
    }
    old["camera"] = [cameras(previous, tmp_path)]
    time.sleep(BESIDE_S)
    for command in order:
        for leaving in old[command]:
            if command == "camera":
                assert leaving.stop() == 0, leaving.stderr
                cameras(present, tmp_path)
            else:
                present.start(command)
                time.sleep(BESIDE_S)
                assert leaving.stop() == 0, leaving.stderr
            time.sleep(BESIDE_S)
    agent = next(running for running in present.started if running.words[0] == "camera")
    assert agent.stop() == 0, agent.stderr
    expect_each_frame_labelled(present, at_least=200)
    for running in present.started:
        assert running.stop() == 0, f"{running}: {running.stderr[-3000:]}"


def test_readers_before_writers_is_an_order_in_which_new_schemas_cost_nothing(
    present: Runner, coming: Runner, tmp_path: Path
) -> None:
    """The documented order: what reads labels, then workers, then stages."""
    stage, worker = present.start("stream"), present.start("infer")
    sink = present.start("sink", "jsonl", str(tmp_path / "labels"))
    agent = cameras(present, tmp_path)
    time.sleep(BESIDE_S)
    for command, leaving in (("sink", sink), ("infer", worker), ("stream", stage)):
        if command == "sink":  # one process to a folder
            assert leaving.stop() == 0, leaving.stderr
            coming.start("sink", "jsonl", str(tmp_path / "labels"))
        else:
            coming.start(command)
            time.sleep(BESIDE_S)
            assert leaving.stop() == 0, leaving.stderr
        time.sleep(BESIDE_S)
    assert agent.stop() == 0, agent.stderr
    expect_each_frame_labelled(coming, at_least=100)
    assert all(running.exit_code is None for running in coming.started)


def test_a_stage_that_was_upgraded_before_its_worker_stops_the_worker_and_loses_nothing(
    deployment: Deployment, present: Runner, coming: Runner, wire: Wire
) -> None:
    coming.start("stream")
    frames = [source for partition in range(PARTITIONS) for source in wire.frames(5, partition)]
    worker = present.start("infer", ready=False)
    assert worker.wait(60) == 1
    assert "has a schema version that this worker does not know (schema_unknown: fingerprint" in worker.stderr
    assert "upgrade this worker" in worker.stderr
    assert committed(deployment, "infer", deployment.topics.batches) == 0
    assert read_all(deployment.settings(), deployment.topics.dead) == []
    told = present.run("redrive", "--missing", "--execute")
    assert (told.returncode, "nothing was sent: a newer version" in told.stderr) == (1, True), told.stderr
    coming.start("infer")
    expect_each_frame_labelled(coming, at_least=len(frames))


def test_frames_of_cameras_that_were_upgraded_first_are_redriven_after_the_upgrade(
    present: Runner, coming: Runner, tmp_path: Path
) -> None:
    stage = present.start("stream")
    agent = cameras(coming, tmp_path)
    time.sleep(BESIDE_S)
    assert agent.stop() == 0, agent.stderr
    found = audit(present)
    assert found["frames"] == found["dead"] >= 20
    assert stage.stop() == 0, stage.stderr
    for command in ("infer", "stream"):
        coming.start(command)
    redriven = coming.run("redrive", "--error", "schema_unknown", "--execute", "--json")
    assert json.loads(redriven.stdout)["redriven"] == found["dead"]
    wait_for(lambda: audit(coming, 0)["dead"] == 0, 60, "labels of all", coming.started)
    expect_each_frame_labelled(coming, at_least=found["frames"])


def test_a_sink_that_is_older_than_the_workers_stops_and_loses_nothing(
    deployment: Deployment, present: Runner, coming: Runner, wire: Wire, tmp_path: Path
) -> None:
    for command in ("stream", "infer"):
        coming.start(command)
    frames = wire.frames(5)
    expect_each_frame_labelled(coming, at_least=len(frames))
    sink = present.start("sink", "jsonl", str(tmp_path / "labels"), ready=False)
    assert sink.wait(60) == 1
    assert "has a schema version that this sink does not know" in sink.stderr
    assert committed(deployment, "sink-jsonl", deployment.topics.labels) == 0
    assert read_all(deployment.settings(), deployment.topics.labels_dead) == []
    sink = coming.start("sink", "jsonl", str(tmp_path / "labels"))
    wait_for(lambda: committed(deployment, "sink-jsonl", deployment.topics.labels) == len(frames), 60, "labels", [sink])


def committed(deployment: Deployment, kind: str, topic: str) -> int:
    """How many records of the topic are committed in all, which begin at 0."""
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    return sum(committed_offsets(deployment.settings(), group(kind, deployment.prefix), partitions, 30).values())
