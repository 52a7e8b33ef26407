"""`sightline demo` as a new user runs it, with the null model, because the demo is tested and not the model."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.kafka.reader import Reader
from infra.local.state import read_state
from tests.support.deployment import Deployment
from tests.support.paths import ROOT
from tests.support.runner import COMMAND, Runner, Running
from tests.support.services import share_jars

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SOURCES = ["--source", "sim:coffee", "--source", "sim:flower?size=320x240"]
NULL_MODEL = {"SIGHTLINE_INFER__MODEL": "null", "SIGHTLINE_LOG__LEVEL": "info"}
# The time limits allow for a busy machine.
START_S = 180.0


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a machine where no service runs and nothing is configured."""
    home = tmp_path / "home"
    share_jars(home)
    yield {
        **{name: value for name, value in os.environ.items() if not name.startswith("SIGHTLINE_")},
        **NULL_MODEL,
        "SIGHTLINE_HOME": str(home),
        "SIGHTLINE_TOPICS__PARTITIONS": "4",
    }
    state = read_state(home)
    leftover = list(state.pids.values()) if state else []
    for pid in leftover:
        if psutil.pid_exists(pid):
            psutil.Process(pid).kill()
    assert leftover == [], "what the demo starts it stops"


def everything_below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def wait_gone(processes: list[psutil.Process], timeout_s: float) -> None:
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    assert alive == []


def wait_for_line(process: Running, word: str, timeout_s: float = START_S) -> None:
    until = time.monotonic() + timeout_s
    while word not in process.stderr + process.stdout:
        assert process.exit_code is None, process.stderr[-3000:]
        assert time.monotonic() < until, process.stderr[-3000:]
        time.sleep(0.1)


def demo(sightline: Runner, deployment: Deployment, tmp_path: Path, *words: str) -> Running:
    """Run the demo on existing services, with its files in a folder of this test."""
    env = {**NULL_MODEL, "SIGHTLINE_HOME": str(tmp_path / "demo-home")}
    return sightline.start("demo", *SOURCES, "--fps", "4", *words, env=env, http=False)


@pytest.mark.system
def test_a_crawler_and_uploads_run_beside_the_cameras_and_are_accounted_for(
    sightline: Runner, deployment: Deployment, tmp_path: Path
) -> None:
    env = {**NULL_MODEL, "SIGHTLINE_HOME": str(tmp_path / "demo-home")}
    done = sightline.run("demo", "--duration", "15", "--fps", "2", "--json", env=env, timeout_s=200)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accounted"] is True
    with Reader(deployment.settings()) as reader:
        keys = Counter(record.key for record in reader.read(reader.spans(deployment.topics.frames)))
    assert keys[b"crawl.127.0.0.1"] >= 2
    uploads = {key: number for key, number in keys.items() if key and key.startswith(b"upload.")}
    assert sum(uploads.values()) >= 2
    assert len(keys) - len(uploads) == 5


def test_from_nothing_to_a_summary_and_back_to_nothing(fresh: dict[str, str]) -> None:
    words = [*COMMAND, "demo", *SOURCES, "--duration", "10", "--fps", "4", "--json"]
    done = subprocess.run(words, env=fresh, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == 1
    result = json.loads(done.stdout)
    assert result["accounted"] is True
    assert result["frames"] == result["labels"] + result["dead"] > 10
    assert sum(result["cache"].values()) == result["labels"]
    assert result["dead"] == 0
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]
    assert sum(entry["count"] for entry in result["top"]) > 0
    for word in ("starting Kafka", "frames/s", "sim-coffee"):
        assert word in done.stderr


@pytest.mark.system
def test_ctrl_c_ends_everything_within_its_budget(sightline: Runner, deployment: Deployment, tmp_path: Path) -> None:
    process = demo(sightline, deployment, tmp_path, "--duration", "600", "--json")
    wait_for_line(process, "00:05")
    below = everything_below(process.pid)
    assert len(below) >= 3
    started = time.monotonic()
    process.signal(signal.SIGINT)
    code = process.wait(12)
    assert time.monotonic() - started < 11
    wait_gone(below, 1.0)
    result = json.loads(process.stdout.splitlines()[-1])
    assert code == (0 if result["accounted"] else 1)
    assert "Traceback" not in process.stderr


def test_sigterm_while_kafka_starts_ends_it_and_what_has_started(fresh: dict[str, str]) -> None:
    process = Running(["demo", *SOURCES, "--duration", "600"], fresh, http=False)
    try:
        wait_for_line(process, "starting Kafka")
        below = everything_below(process.pid)
        process.signal(signal.SIGTERM)
        assert process.wait(10) == 1
        wait_gone(below, 30)
        assert "sightline: stopped before the services had started" in process.stderr
        assert "Traceback" not in process.stderr
    finally:
        process.close()


@pytest.mark.system
def test_kill_9_leaves_no_child_and_no_service(fresh: dict[str, str]) -> None:
    process = Running(["demo", *SOURCES, "--duration", "600"], fresh, http=False)
    try:
        wait_for_line(process, "00:00")
        below = everything_below(process.pid)
        state = read_state(Path(fresh["SIGHTLINE_HOME"]))
        assert state is not None
        services = [psutil.Process(pid) for pid in state.pids.values()]
        assert len(services) == 2
        process.kill()
        wait_gone(below + services, 30)
    finally:
        process.close()


@pytest.mark.system
def test_a_part_that_dies_is_named_with_its_last_words(
    sightline: Runner, deployment: Deployment, tmp_path: Path
) -> None:
    process = demo(sightline, deployment, tmp_path, "--duration", "600")
    wait_for_line(process, "00:00")
    below = everything_below(process.pid)
    stream = next(child for child in below if child.cmdline()[-1] == "stream")
    stream.kill()
    assert process.wait(20) == 1
    wait_gone(below, 1.0)
    assert "`sightline stream` ended with SIGKILL" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.system
def test_a_worker_that_stands_still_is_named(sightline: Runner, deployment: Deployment, tmp_path: Path) -> None:
    process = demo(sightline, deployment, tmp_path, "--duration", "600")
    wait_for_line(process, "00:00")
    worker = next(child for child in everything_below(process.pid) if child.cmdline()[-1] == "infer")
    worker.suspend()
    try:
        wait_for_line(process, "bottleneck: infer (", 60)
    finally:
        worker.resume()
    process.signal(signal.SIGINT)
    process.wait(15)


def test_a_source_that_is_none_is_told_by_the_camera_agent(
    sightline: Runner, deployment: Deployment, tmp_path: Path
) -> None:
    env = {**NULL_MODEL, "SIGHTLINE_HOME": str(tmp_path / "demo-home")}
    done = sightline.run("demo", "--source", "sim:nothing", "--duration", "5", env=env, timeout_s=START_S)
    assert done.returncode == 1
    assert "no such simulated camera" in done.stderr
