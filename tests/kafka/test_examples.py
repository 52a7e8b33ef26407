"""The examples of docs/examples/ as they stand there: they catch up and follow without a gap and without a double."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Producer

from infra.kafka.clients import producer_config
from schemas import codec
from schemas.coordinates import Coordinates
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.paths import ROOT
from tests.support.runner import COMMAND
from tests.support.sink_records import a_label

EXAMPLES = ROOT / "docs" / "examples"
HOUR_MS = 3_600_000
PAST, MEANWHILE, LIVE = range(1000), range(1000, 1600), range(1600, 1650)


class Labels:
    """Writes numbered labels; every tenth transaction is broken off, and each leaves a marker behind it."""

    def __init__(self, deployed: Deployment) -> None:
        keys = {"transactional.id": f"{deployed.prefix}labels", "delivery.timeout.ms": 30_000}
        self._producer, self._topic = Producer(producer_config(deployed.settings(), **keys)), deployed.topics.labels
        self._producer.init_transactions(30)

    def write(self, numbers: range, pause_s: float = 0.0, age_ms: int = 0) -> None:
        for first in range(numbers.start, numbers.stop, 25):
            if first % 100 == 0:
                self._transaction(range(9_000, 9_003), False, age_ms)
            self._transaction(range(first, min(first + 25, numbers.stop)), True, age_ms)
            time.sleep(pause_s)

    def _transaction(self, numbers: range, commits: bool, age_ms: int) -> None:
        self._producer.begin_transaction()
        for number in numbers:
            value = codec.encode(a_label(Coordinates("frames.raw", number % PARTITIONS, number)))
            at_ms = int(time.time() * 1000) - age_ms
            # The last partition stays empty.
            self._producer.produce(self._topic, value, partition=number % (PARTITIONS - 1), timestamp=at_ms)
        self._producer.flush(30)
        (self._producer.commit_transaction if commits else self._producer.abort_transaction)(30)


@contextmanager
def running(words: list[str], env: dict[str, str], out: Path, errors: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with out.open("wb") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(words, env=env, stdout=stdout, stderr=stderr, cwd=out.parent)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def numbers_in(*files: Path) -> list[int]:
    """The numbers of the labels on the complete lines of these files, sorted."""
    lines = [line for file in files if file.exists() for line in file.read_text().split("\n")[:-1]]
    return sorted(json.loads(line)["source"]["offset"] for line in lines)


def wait_until(met: Callable[[], bool], what: str, errors: Path) -> None:
    until = time.monotonic() + 60
    while not met():
        assert time.monotonic() < until, f"{what}\n{errors.read_text()}"
        time.sleep(0.1)


def catch_up(words: list[str], deployed: Deployment, folder: Path, *outputs: str) -> list[int]:
    """What the example prints, of labels that were there, that come while it catches up, and that come later."""
    labels = Labels(deployed)
    labels.write(range(8_000, 8_020), age_ms=5 * HOUR_MS)  # before the time that is asked for
    labels.write(PAST, age_ms=HOUR_MS)
    out, errors = folder / "out", folder / "errors"
    files = [out, *(folder / name for name in outputs)]
    bin_folder = str(Path(COMMAND[0]).parent)
    env = {**deployed.env, "PYTHONPATH": str(ROOT), "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    writing = threading.Thread(target=labels.write, args=(MEANWHILE, 0.1))
    writing.start()
    with running(words, env, out, errors):
        wait_until(lambda: "caught up" in errors.read_text(), "not caught up", errors)
        writing.join()
        labels.write(LIVE)
        wait_until(lambda: len(numbers_in(*files)) >= LIVE.stop, "labels are left out", errors)
        time.sleep(1.0)  # for doubles
    return numbers_in(*files)


def test_the_python_example(deployment: Deployment, tmp_path: Path) -> None:
    words = [
        sys.executable, "-P", str(EXAMPLES / "catch_up_and_follow.py"),
        deployment.services.bootstrap_servers, "3", deployment.topics.labels,
    ]  # fmt: skip
    assert catch_up(words, deployment, tmp_path) == list(range(LIVE.stop))


def test_the_shell_example(deployment: Deployment, tmp_path: Path) -> None:
    words = [str(EXAMPLES / "catch_up_and_follow.sh"), "positions.json", "past", "-3h"]
    assert catch_up(words, deployment, tmp_path, "past") == list(range(LIVE.stop))
    assert len(numbers_in(tmp_path / "past")) >= len(PAST)
