"""`sightline sink jsonl` on a real broker: each label is one line, whatever is killed at whatever time."""

import json
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from infra.kafka.group_offsets import GroupOffsets
from infra.kafka.topics import group
from schemas import headers
from schemas.coordinates import Coordinates
from tests.support.batches import read_all
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.deployment import deployment as deployment_of
from tests.support.runner import Runner, Running
from tests.support.services import local_services
from tests.support.sink_records import Wire

# A static member comes back at once; another one waits until the group has given up the one that was killed.
STATIC = {"SIGHTLINE_SINK__GROUP_INSTANCE_ID": "one"}
FAST = {"SIGHTLINE_SINK__FLUSH_INTERVAL_MS": "100"}

LABELS = "sightline_sink_labels_total"

Identity = tuple[str, int, int, str, str | None]


def lines_of(*folders: Path) -> list[dict[str, Any]]:
    """The lines of closed files; open ones are left out."""
    paths = [path for folder in folders for path in sorted(folder.glob("day=*/hour=*/*.jsonl"))]
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def identity(line: dict[str, Any]) -> Identity:
    source = line["source"]
    return source["topic"], source["partition"], source["offset"], line["frame_id"], line["replay_id"]


def wait_for_labels(process: Running, labels: int, timeout_s: float = 30.0) -> None:
    """Wait until the sink has handled this many labels."""
    until = time.monotonic() + timeout_s
    while True:
        is_up = process.probe("/livez")[0] == 200
        if is_up and sum(process.metric(LABELS, result=result) for result in ("written", "repeated")) >= labels:
            return
        assert time.monotonic() < until and process.exit_code is None, process.stderr[-3000:]
        time.sleep(0.02)


def test_lines_are_those_of_subscribe_and_what_is_no_label_lies_on_labels_dead(
    sightline: Runner, wire: Wire, tmp_path: Path, deployment: Deployment
) -> None:
    process = sightline.start("sink", "jsonl", str(tmp_path / "out"), env=FAST)
    for frame in range(20):
        wire.label(Coordinates("frames.raw", frame % PARTITIONS, frame), frame_id=f"dock-1/1/{frame}")
    bad = wire.send(wire.topics.labels, b"no label", partition=1)
    wire.label(Coordinates("frames.raw", 0, 4), frame_id="dock-1/1/4")
    wait_for_labels(process, 21)
    assert process.metric(LABELS, sink="jsonl", result="refused") == 1
    assert process.metric(LABELS, sink="jsonl", result="repeated") == 1
    assert process.stop() == 0
    assert not list((tmp_path / "out").rglob("*.part"))
    printed = sightline.run("subscribe", "--from", "-1h", "--limit", "20", "--dedupe").stdout.splitlines()
    stored = [line for path in (tmp_path / "out").glob("day=*/hour=*/*.jsonl") for line in path.read_text().split("\n")]
    assert sorted(stored) == sorted([*printed, *[""] * stored.count("")])
    (letter,) = read_all(deployment.settings(), wire.topics.labels_dead)
    told = headers.to_map(letter.headers)
    assert (letter.key, letter.value, told[headers.ERROR_STAGE]) == (b"dock-1", b"no label", b"sink-jsonl")
    assert (told[headers.ORIGIN_TOPIC], told[headers.ORIGIN_OFFSET]) == (bad.topic.encode(), str(bad.offset).encode())


class Load:
    """Sends labels at a fixed rate, one in eight a second label of a recent frame. Use as a context manager."""

    def __init__(self, wire: Wire, seed: int) -> None:
        self._wire, self._random = wire, random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self.identities: set[Identity] = set()
        self.sent = 0

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        frame = 0
        while not self._stop.wait(0.05):
            for _ in range(20):
                is_repeat = frame > 200 and self._random.random() < 0.125
                number = frame - self._random.randrange(1, 200) if is_repeat else frame
                frame += not is_repeat
                source = Coordinates("frames.raw", number % PARTITIONS, number // PARTITIONS)
                frame_id = f"dock-{source.partition}/1/{number}"
                self._wire.label_soon(source, frame_id=frame_id, source_id=f"dock-{source.partition}")
                self.identities.add((source.topic, source.partition, source.offset, frame_id, None))
                self.sent += 1
        self._wire.flush()


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.system)])
def test_killed_again_and_again_under_load_lines_are_the_distinct_labels(
    sightline: Runner, wire: Wire, tmp_path: Path, deployment: Deployment, kills: int
) -> None:
    folder, drawn = tmp_path / "out", random.Random(13)
    env = {**FAST, **STATIC, "SIGHTLINE_JSONL__MAX_FILE_AGE_S": "1"}
    with Load(wire, seed=14) as load:
        for kill in range(kills):
            process = sightline.start("sink", "jsonl", str(folder), env=env, ready=False)
            if kill % 3 == 2:  # at its start: while it recovers, joins the group, or reads what it must remember
                time.sleep(drawn.uniform(0.5, 4.0))
            else:  # while it stores labels
                wait_for_labels(process, drawn.randrange(1, 400), timeout_s=60)
            process.kill()
        last = sightline.start("sink", "jsonl", str(folder), env=FAST)
    wait_until_idle(deployment, last)
    assert last.stop() == 0
    expect_distinct(load, folder)
    assert not list(folder.rglob("*.part"))


@pytest.mark.system
def test_the_broker_is_killed_too(tmp_path: Path) -> None:
    """The broker of this test is killed under load together with the sink, and once alone."""
    with local_services(tmp_path / "home") as services, deployment_of(services) as deployment:
        assert services.kafka is not None
        sightline, folder = Runner(deployment.env), tmp_path / "out"
        try:
            with Load(Wire(deployment), seed=16) as load:
                for with_the_sink in (False, True, False):
                    process = sightline.start("sink", "jsonl", str(folder), env={**FAST, **STATIC})
                    wait_for_labels(process, 100)
                    services.kafka.kill_broker(1)
                    if with_the_sink:
                        process.kill()
                    services.kafka.start_broker(1)
                    if not with_the_sink:
                        wait_for_labels(process, 400, timeout_s=90)
                        assert process.stop() == 0
                last = sightline.start("sink", "jsonl", str(folder), env={**FAST, **STATIC})
            wait_until_idle(deployment, last)
            assert last.stop() == 0
            expect_distinct(load, folder)
        finally:
            sightline.close()


def expect_distinct(load: Load, *folders: Path) -> None:
    found = [identity(line) for line in lines_of(*folders)]
    assert len(found) == len(set(found)), "a label was stored twice"
    assert set(found) == load.identities
    assert load.sent > len(load.identities), "there were repeats"


def wait_until_idle(deployment: Deployment, process: Running, timeout_s: float = 60.0) -> None:
    """Wait until the group has committed everything on the topic."""
    asking = GroupOffsets(deployment.settings(), group("sink-jsonl", deployment.prefix), deployment.topics.labels)
    until = time.monotonic() + timeout_s
    while (offsets := asking.ask(10)).lag() or not offsets.position():
        assert time.monotonic() < until, (offsets, process.stderr[-3000:])
        time.sleep(0.2)
    asking.close()


def test_two_members_share_the_partitions_and_hand_them_over_without_doubling(
    sightline: Runner, wire: Wire, tmp_path: Path, deployment: Deployment
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    first = sightline.start("sink", "jsonl", str(one), env=FAST)
    with Load(wire, seed=15) as load:
        time.sleep(1)
        second = sightline.start("sink", "jsonl", str(two), env=FAST)
        until = time.monotonic() + 30
        while not second.metric(LABELS, result="written"):
            assert time.monotonic() < until, second.stderr[-3000:]
            time.sleep(0.1)
        time.sleep(1)
        assert first.stop() == 0
        time.sleep(1)
    wait_until_idle(deployment, second)
    assert second.stop() == 0
    expect_distinct(load, one, two)
    assert lines_of(one) and lines_of(two)


def test_one_folder_has_one_sink(sightline: Runner, tmp_path: Path) -> None:
    sightline.start("sink", "jsonl", str(tmp_path))
    second = sightline.run("sink", "jsonl", str(tmp_path))
    assert second.returncode == 2
    assert second.stderr.splitlines()[-1] == (
        f"sightline: another sink writes to {tmp_path}: give each sink a folder of its own"
    )


def test_what_is_missing_is_one_sentence(sightline: Runner, tmp_path: Path, deployment: Deployment) -> None:
    away = {"SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "SIGHTLINE_KAFKA__START_TIMEOUT_MS": "500"}
    no_kafka = sightline.run("sink", "jsonl", str(tmp_path), env=away)
    assert (no_kafka.returncode, "127.0.0.1:1" in no_kafka.stderr.splitlines()[-1]) == (1, True)
    no_topics = sightline.run("sink", "jsonl", str(tmp_path), env={"SIGHTLINE_TOPIC_PREFIX": "nowhere-"})
    assert no_topics.returncode == 1
    assert "no topic nowhere-labels, nowhere-labels.dead" in no_topics.stderr.splitlines()[-1]
    (tmp_path / "file").write_text("")
    no_folder = sightline.run("sink", "jsonl", str(tmp_path / "file" / "out"))
    assert (no_folder.returncode, "cannot be used: File exists" in no_folder.stderr.splitlines()[-1]) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_before_and_after_it_is_ready(sightline: Runner, tmp_path: Path, number: int) -> None:
    process = sightline.start("sink", "jsonl", str(tmp_path))
    process.signal(number)
    assert process.wait(10) == 0
