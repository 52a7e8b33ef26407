"""`sightline replay` on a real broker: the right frames of a range, each exactly once, in the lane."""

import json
import signal
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from infra.kafka.clients import admin
from infra.kafka.records import ConsumedRecord
from infra.kafka.topics import TopicNames
from infra.process.ports import find_ports
from infra.process.supervise import http_get
from infra.process.times import now_us
from infra.replay.progress import progress_record, read, write
from schemas.coordinates import Coordinates
from schemas.headers import ORIGIN_TIMESTAMP, replay_id_of, replay_of, to_map, traceparent_of
from schemas.records import micros_to_iso
from schemas.replays import ReplayState
from tests.support.batches import read_all
from tests.support.deployment import Deployment
from tests.support.history import History
from tests.support.runner import Runner, Running

MINUTE_MS = 60_000


def lane(deployment: Deployment) -> TopicNames:
    return TopicNames.for_lane(deployment.prefix, "replay")


def copies(deployment: Deployment, replay_id: str | None = None) -> list[ConsumedRecord]:
    found = read_all(deployment.settings(), lane(deployment).frames)
    return [one for one in found if replay_id in (None, replay_id_of(one.headers))]


def originals(found: list[ConsumedRecord]) -> Counter[Coordinates]:
    places = [replay_of(record.headers) for record in found]
    assert None not in places
    return Counter(place for place in places if place is not None)


def replay(sightline: Runner, *words: str, timeout_s: float = 120) -> tuple[int, Any, str]:
    done = sightline.run("replay", *words, "--json", timeout_s=timeout_s)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def range_of(from_ms: int, to_ms: int) -> tuple[str, ...]:
    return "--from", micros_to_iso(from_ms * 1000), "--to", micros_to_iso(to_ms * 1000)


def wait_copied(deployment: Deployment, replay_id: str, more_than: int, process: Running) -> int:
    """Until so many frames are copied, as the progress says."""
    until = time.monotonic() + 60
    while True:
        assert time.monotonic() < until, process.stderr
        found = read_all(deployment.settings(), deployment.topics.progress)
        if any((one.key or b"").decode() == replay_id for one in found):
            copied = read(deployment.settings(), replay_id).copied
            if copied > more_than or process.exit_code is not None:
                return copied
        time.sleep(0.1)


@pytest.fixture
def history(deployment: Deployment) -> History:
    """400 frames over all partitions, of three cameras, in disorder by up to 20 min."""
    return History.written(deployment, frames=400, spread_ms=20 * MINUTE_MS, seed=7)


def test_a_middle_range_gives_exactly_its_frames(sightline: Runner, deployment: Deployment, history: History) -> None:
    from_ms, to_ms = history.middle
    words, wanted = range_of(from_ms, to_ms), history.places(from_ms, to_ms)
    assert 50 < len(wanted) < 300

    code, planned, _ = replay(sightline, "plan", *words)
    assert code == 0
    assert (planned["plan"]["frames"], planned["plan"]["exact"], planned["plan"]["gaps"]) == (len(wanted), True, [])

    code, done, _ = replay(sightline, "start", *words, "--name", "again")
    assert (code, done["state"], done["copied"], done["replay_id"]) == (0, "COMPLETED", len(wanted), "again")
    assert done["plan"] == planned["plan"]
    found = copies(deployment)
    assert originals(found) == Counter(wanted)
    by_place = {record.coordinates: record for record in history.records}
    for copy in found:
        place = replay_of(copy.headers)
        assert place is not None
        original = by_place[place]
        assert (copy.key, copy.value, copy.partition) == (original.key, original.value, original.partition)
        assert replay_id_of(copy.headers) == "again"
        assert to_map(copy.headers)[ORIGIN_TIMESTAMP] == str(original.timestamp_ms).encode()
        assert traceparent_of(copy.headers) not in (None, traceparent_of(original.headers))
        assert to_map(copy.headers)["x-own"] == b"1"

    assert replay(sightline, "start", *words, "--name", "once-more")[0] == 0
    assert originals(copies(deployment, "once-more")) == Counter(wanted)
    code, listed, _ = replay(sightline, "list")
    assert [(one["replay_id"], one["state"]) for one in listed] == [("once-more", "COMPLETED"), ("again", "COMPLETED")]
    occupied = read(deployment.settings(), "once-more").lane
    places = {(one.partition, one.offset) for one in copies(deployment, "once-more")}
    assert all(any(p == one.partition and one.from_offset <= o < one.to_offset for one in occupied) for p, o in places)


def test_a_source_and_a_sample_are_chosen_the_same_each_time(
    sightline: Runner, deployment: Deployment, history: History
) -> None:
    from_ms, to_ms = history.middle
    wanted = history.places(from_ms, to_ms, "dock-1")
    words = (*range_of(from_ms, to_ms), "--source-id", "dock-1", "--sample", "11", "--noise", "4")
    for name in ("first", "second"):
        code, done, _ = replay(sightline, "start", *words, "--name", name)
        assert (code, done["copied"], done["plan"]["frames"]) == (0, 11, 11)
    first, second = (originals(copies(deployment, name)) for name in ("first", "second"))
    assert first == second
    assert set(first) <= set(wanted)
    noise = [originals(copies(deployment, name)) for name in ("first.a", "first.b", "second.a")]
    assert noise[0] == noise[1] == noise[2]
    assert set(noise[0]) <= set(first)


@pytest.mark.system
def test_paused_resumed_cancelled_and_forgotten(sightline: Runner, deployment: Deployment, history: History) -> None:
    from_ms, to_ms = history.middle
    words, wanted = range_of(from_ms, to_ms), history.places(from_ms, to_ms)
    process = sightline.start("replay", "start", *words, "--name", "slow", "--rate", "5/s", http=False)
    wait_copied(deployment, "slow", 3, process)
    code, _, told = replay(sightline, "start", *words, "--name", "second")
    assert (code, "the replay lane is taken: slow runs" in told) == (1, True)
    assert (
        sightline.run("replay", "resume", "slow").returncode,
        sightline.run("replay", "delete", "slow").returncode,
    ) == (1, 1)
    paused = sightline.run("replay", "pause", "slow")
    assert (paused.returncode, "slow PAUSED" in paused.stdout) == (0, True), paused.stderr
    assert process.wait(10) == 1
    code, found, _ = replay(sightline, "status", "slow")
    assert found["state"] == "PAUSED"
    assert 3 < found["copied"] < len(wanted)

    code, done, _ = replay(sightline, "resume", "slow", "--rate", "10000/s")
    assert (code, done["state"], done["copied"]) == (0, "COMPLETED", len(wanted))
    assert originals(copies(deployment)) == Counter(wanted)
    over = sightline.run("replay", "resume", "slow")
    assert (over.returncode, "is over (COMPLETED)" in over.stderr) == (1, True)

    process = sightline.start("replay", "start", *words, "--name", "unwanted", "--rate", "5/s", http=False)
    wait_copied(deployment, "unwanted", 3, process)
    assert sightline.run("replay", "cancel", "unwanted").returncode == 0
    assert process.wait(10) == 1
    assert read(deployment.settings(), "unwanted").state is ReplayState.ABORTED
    assert sightline.run("replay", "delete", "unwanted").returncode == 0
    unknown = sightline.run("replay", "status", "unwanted")
    assert (unknown.returncode, "there is no replay 'unwanted': there are slow" in unknown.stderr) == (2, True)


@pytest.mark.system
def test_a_copier_that_was_killed_is_taken_over_and_sigterm_pauses(
    sightline: Runner, deployment: Deployment, history: History
) -> None:
    from_ms, to_ms = history.middle
    words, wanted = range_of(from_ms, to_ms), history.places(from_ms, to_ms)
    process = sightline.start("replay", "start", *words, "--name", "killed", "--rate", "30/s", http=False)
    wait_copied(deployment, "killed", 10, process)
    process.kill()
    copied = read(deployment.settings(), "killed").copied
    blocked = sightline.run("replay", "start", *words, "--name", "other")
    assert (blocked.returncode, "its copier is silent: resume or cancel it" in blocked.stderr) == (1, True)
    process = sightline.start("replay", "resume", "killed", "--rate", "5/s", http=False)
    wait_copied(deployment, "killed", copied, process)
    process.signal(signal.SIGTERM)
    assert process.wait(10) == 1
    assert "`sightline replay resume killed` goes on" in process.stderr
    assert read(deployment.settings(), "killed").state is ReplayState.PAUSED
    assert replay(sightline, "resume", "killed", "--rate", "10000/s")[0] == 0
    assert originals(copies(deployment)) == Counter(wanted)


def test_what_retention_removed_is_a_gap_and_the_exit_code_says_so(
    sightline: Runner, deployment: Deployment, history: History
) -> None:
    deployment.delete_before(deployment.topics.frames, 30)
    words = ("--from", "-3h")
    code, planned, _ = replay(sightline, "plan", *words)
    gap = {"topic": deployment.topics.frames, "partition": 0, "from": 0, "to": 30}
    assert [{**gap, "reason": one["reason"]} for one in planned["plan"]["gaps"]] == planned["plan"]["gaps"]
    assert len(planned["plan"]["gaps"]) == 1
    process = sightline.start("replay", "start", *words, "--name", "eaten", "--rate", "1x", http=False)
    wait_copied(deployment, "eaten", 0, process)
    process.kill()
    deployment.delete_before(deployment.topics.frames, 60)
    code, done, _ = replay(sightline, "resume", "eaten", "--rate", "10000/s")
    assert (code, done["state"]) == (3, "COMPLETED")
    (found,) = done["gaps"]
    assert (found["partition"], found["to"]) == (0, 60)
    there = [one.coordinates for one in history.records if one.partition or not found["from"] <= one.offset < 60]
    assert originals(copies(deployment)) == Counter(one for one in there if one.partition or one.offset >= 30)


@pytest.mark.system
def test_what_keeps_a_copier_from_its_work_pauses_it_and_leaves_the_lane_free(
    sightline: Runner, deployment: Deployment, history: History
) -> None:
    settings = deployment.settings()
    limit_lane(deployment, 100)
    done = sightline.run("replay", "start", "--from", "-3h", "--name", "large", "--rate", "2000000/s")
    assert (done.returncode, "Message size too large" in done.stderr) == (1, True), done.stderr
    assert "`sightline replay resume large` goes on" in done.stderr
    assert read(settings, "large").state is ReplayState.PAUSED
    limit_lane(deployment, 8 << 20)
    done = sightline.run("replay", "resume", "large", "--rate", "fast")
    assert (done.returncode, "--rate 'fast'" in done.stderr) == (2, True), done.stderr
    assert read(settings, "large").rate == "2000000/s"
    code, done_json, _ = replay(sightline, "resume", "large")
    assert (code, done_json["state"]) == (0, "COMPLETED")
    assert originals(copies(deployment)) == Counter(one.coordinates for one in history.records)

    prefix, now = settings.topic_prefix, now_us()
    lost = replace(read(settings, "large"), replay_id="lost", state=ReplayState.PAUSED, archive=f"/nowhere/{prefix}")
    write(settings, [progress_record(settings, replace(lost, started_at=now, updated_at=now), None)])
    done = sightline.run("replay", "resume", "lost")
    assert (done.returncode, "holds no archive" in done.stderr) == (1, True), done.stderr
    assert read(settings, "lost").state is ReplayState.PAUSED


def limit_lane(deployment: Deployment, size_bytes: int) -> None:
    """The largest record that `frames.replay` takes."""
    entry = ConfigEntry("max.message.bytes", str(size_bytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, lane(deployment).frames, incremental_configs=[entry])
    client = admin(deployment.settings())
    for future in client.incremental_alter_configs([resource]).values():
        future.result(30)


@pytest.mark.system
def test_what_cannot_be_is_one_sentence_and_nothing_is_started(
    sightline: Runner, deployment: Deployment, history: History
) -> None:
    cases = [
        (("--from", "-1m", "--to", "-2m"), 2, "is not before --to"),
        (("--from", "-1m", "--to", "+5m"), 2, "in the future"),
        (("--from", "2026-01-01T00:00:00"), 2, "has no time zone"),
        (("--from", "-1m"), 1, "there is no frame from"),
        (("--from", "-3h", "--source-id", "nobody"), 1, "is of a source that matches 'nobody'"),
        (("--from", "-3h", "--name", "a/b"), 2, "--name"),
        (("--from", "-3h", "--rate", "fast"), 2, "--rate 'fast'"),
        (("--from", "-3h", "--fail-if-changed", "2"), 2, "is no percentage"),
        (("--from", "-3h", "--fail-if-changed", "2%"), 1, "nobody works on the replay lane"),
        (("--from", "-3h", "--archive", "/nowhere/at/all"), 1, "holds no archive"),
    ]
    for words, code, told in cases:
        done = sightline.run("replay", "start", *words)
        assert (done.returncode, told in done.stderr) == (code, True), (words, done.stderr)
        assert "Traceback" not in done.stderr
    assert replay(sightline, "list")[1] == []
    assert copies(deployment) == []


def test_partitions_that_were_added_since_have_no_part_and_the_lane_must_have_room(
    sightline: Runner, deployment: Deployment, history: History
) -> None:
    client = admin(deployment.settings())
    more = [confluent_kafka.admin.NewPartitions(deployment.topics.frames, 6)]
    for future in client.create_partitions(more).values():
        future.result(30)
    time.sleep(1)
    written = History.written(deployment, frames=60, spread_ms=0, seed=3)
    done = sightline.run("replay", "start", "--from", "-3h")
    assert (done.returncode, "has 4 partitions of" in done.stderr) == (1, True), done.stderr
    for future in client.create_partitions([confluent_kafka.admin.NewPartitions(lane(deployment).frames, 6)]).values():
        future.result(30)
    time.sleep(1)
    assert replay(sightline, "start", "--from", "-3h", "--name", "all")[0] == 0
    assert originals(copies(deployment)) == Counter(one.coordinates for one in written.records)


def test_left_in_the_background_it_goes_on_and_answers_there(
    sightline: Runner, deployment: Deployment, history: History
) -> None:
    from_ms, to_ms = history.middle
    [port] = find_ports(1)
    words = (*range_of(from_ms, to_ms), "--name", "left", "--rate", "5/s", "--detach", "--http-port", str(port))
    code, begun, told = replay(sightline, "start", *words)
    assert (code, begun["state"]) == (0, "RESUMED"), told
    assert "sightline replay status left --watch" in told
    assert http_get(port, "/livez", 5.0)[0] == 200
    assert sightline.run("replay", "pause", "left").returncode == 0
    assert read(deployment.settings(), "left").state is ReplayState.PAUSED
    code, _, told = replay(sightline, "resume", "left", "--rate", "5/s", "--detach")
    assert (code, "leave --rate out" in told) == (2, True), told
    code, _, _ = replay(sightline, "resume", "left", "--rate", "100000/s")
    assert code == 0
    assert originals(copies(deployment, "left")) == Counter(history.places(from_ms, to_ms))
