"""Archive and topic as one range: each frame once, whichever of both still has it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from infra.kafka.records import ConsumedRecord
from infra.kafka.topics import TopicNames
from infra.process.times import now_us
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.headers import replay_id_of, replay_of
from schemas.records import Label, micros_to_iso
from tests.support.batches import read_all
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.history import History
from tests.support.runner import Runner
from tests.support.stream_ends import Feed, jpeg

pytestmark = pytest.mark.system

MINUTE_MS = 60_000
ALL = range(PARTITIONS)
END = -1  # of DeleteRecords: all that there is


def copies(deployment: Deployment, replay_id: str) -> dict[Coordinates | None, ConsumedRecord]:
    found = read_all(deployment.settings(), TopicNames.for_lane(deployment.prefix, "replay").frames)
    mine = [one for one in found if replay_id_of(one.headers) == replay_id]
    places = Counter(replay_of(one.headers) for one in mine)
    assert set(places.values()) <= {1}, "a frame twice"
    return {replay_of(one.headers): one for one in mine}


def start(sightline: Runner, name: str, *words: str) -> tuple[int, dict[str, Any], str]:
    done = sightline.run("replay", "start", "--name", name, "--json", *words)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


@pytest.fixture
def history(deployment: Deployment) -> History:
    return History.written(deployment, frames=400, spread_ms=20 * MINUTE_MS, seed=5)


def test_the_archive_gives_the_labels_that_the_topic_gave(
    deployment: Deployment, sightline: Runner, feed: Feed, tmp_path: Path
) -> None:
    archive, begin_us = str(tmp_path / "archive"), now_us() // 1000 * 1000  # records have times in ms
    for number in range(40):
        feed.send(number, jpeg(number))
    feed.close()
    words = ("--from", micros_to_iso(begin_us), "--to", micros_to_iso(now_us()), "--model", "null")
    code, told, err = start(sightline, "topic", *words)
    assert (code, told["labels"], told["dead"]) == (0, 40, 0), err
    done = sightline.run("archive", "run", archive, "--once")
    assert done.returncode == 0, done.stderr
    deployment.delete_before(deployment.topics.frames, END, ALL)
    code, told, err = start(sightline, "archive", *words, "--archive", archive)
    assert (code, told["labels"], told["dead"]) == (0, 40, 0), err
    lane = TopicNames.for_lane(deployment.prefix, "replay")
    labels = [codec.decode(Label, one.value) for one in read_all(deployment.settings(), lane.labels)]
    first, second = (
        {(one.replay_of, one.frame_id): (one.predictions, one.decision) for one in labels if one.replay_id == name}
        for name in ("topic", "archive")
    )
    assert len(first) == 40
    assert first == second


def test_what_retention_has_removed_comes_from_the_archive(
    sightline: Runner, deployment: Deployment, history: History, tmp_path: Path
) -> None:
    archive = str(tmp_path / "archive")
    topic = deployment.topics.frames
    done = sightline.run("archive", "run", archive, "--once")
    assert done.returncode == 0, done.stderr
    from_ms, to_ms = history.middle
    words = ("--from", micros_to_iso(from_ms * 1000), "--to", micros_to_iso(to_ms * 1000))
    wanted = set(history.places(from_ms, to_ms))
    assert start(sightline, "topic", *words)[0] == 0

    deployment.delete_before(topic, 40, ALL)
    code, told, _ = start(sightline, "gone", *words)
    assert (code, 1 <= len(told["plan"]["gaps"]) <= PARTITIONS) == (3, True), "those whose rest begins in the range"
    code, told, err = start(sightline, "half", *words, "--archive", archive)
    assert (code, told["plan"]["gaps"], told["gaps"]) == (0, [], []), err
    assert told["copied"] == len(wanted)
    first, half = copies(deployment, "topic"), copies(deployment, "half")
    assert set(first) == set(half) == wanted
    assert all(first[place].value == half[place].value and first[place].key == half[place].key for place in wanted)

    deployment.delete_before(topic, END, ALL)
    code, _, err = start(sightline, "nothing", *words)
    assert (code, "retention has removed" in err) == (1, True), err
    code, told, err = start(sightline, "whole", *words, "--archive", archive, "--rate", "600x")
    assert (code, told["copied"]) == (0, len(wanted)), err
    assert set(copies(deployment, "whole")) == wanted
    code, told, err = start(sightline, "one", *words, "--archive", archive, "--source-id", "dock-2", "--sample", "9")
    assert (code, told["copied"]) == (0, 9), err
    assert set(copies(deployment, "one")) <= set(history.places(from_ms, to_ms, "dock-2"))


def test_frames_that_came_after_the_archive_are_read_from_the_topic_and_harm_is_named(
    sightline: Runner, deployment: Deployment, history: History, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    assert sightline.run("archive", "run", str(archive), "--once").returncode == 0
    later = History.written(deployment, frames=100, spread_ms=20 * MINUTE_MS, seed=6)
    deployment.delete_before(deployment.topics.frames, 60, ALL)
    words = ("--from", "-3h", "--archive", str(archive))
    code, told, err = start(sightline, "both", *words)
    assert (code, told["copied"]) == (0, len(later.records)), err
    assert set(copies(deployment, "both")) == {one.coordinates for one in later.records}

    victim = max(archive.rglob("*.parquet"), key=lambda one: one.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 0xFF
    victim.write_bytes(bytes(data))
    code, _, err = start(sightline, "harmed", *words)
    assert (code, victim.name in err) == (1, True), err
