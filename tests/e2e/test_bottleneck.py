"""A pipeline held back by its workers, by the stream stage, by Kafka: the verdict in the table and in the alert."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.local.home import Home
from infra.process.ports import find_ports
from tests.support.controlled_services import ControlledKafka, ControlledValkey
from tests.support.deployment import deployment
from tests.support.prometheus import monitoring, until
from tests.support.proxy import TcpProxy
from tests.support.receiver import Receiver, receiving
from tests.support.runner import Runner, Running
from tests.support.services import JARS_HOME, Services, stopped_at_exit

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.system]

WITHIN_S = 120.0
SLOW_S = 0.6
SETTINGS = {
    "SIGHTLINE_LAG__LOOK_INTERVAL_S": "2",
    # A stage that is slowed below lets its oldest record wait for longer.
    "SIGHTLINE_LAG__GROUPS": json.dumps({"*sightline-*": {"warn_lag_s": 3}}),
    # A few dozen prepared frames, so that slow workers pause the stage before them.
    "SIGHTLINE_STREAM__MAX_INFLIGHT_BYTES": str(2 * 2**20),
    "SIGHTLINE_STREAM__CACHE": "false",
    "SIGHTLINE_CAMERA__FPS": "10",
}


@dataclass(frozen=True)
class Pipeline:
    """A pipeline at work, its monitoring, and the way to its Kafka."""

    sightline: Runner
    line: TcpProxy
    receiver: Receiver
    worker: Running
    stream: Running

    def table(self) -> str:
        """What the command says below its table."""
        done = self.sightline.run("lag", "--pipeline", timeout_s=WITHIN_S)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split("bottleneck: ")[-1].split())

    def alerts(self) -> list[str]:
        """The descriptions of the alerts about lag that fire, as they were sent."""
        return [
            alert["annotations"]["description"]
            for body in list(self.receiver.bodies)
            for alert in body["alerts"]
            if alert["status"] == "firing" and "Bottleneck" in alert["annotations"].get("description", "")
        ]


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with kafka_behind_a_line(tmp_path / "home") as (services, line), deployment(services, **SETTINGS) as made:
        sightline = Runner(made.env)
        [port] = find_ports(1)
        try:
            worker = sightline.start("infer", "--model", "null")
            stream = sightline.start("stream", "--model", "null")
            sightline.start("camera", "--source", "sim:coffee", "--source", "sim:flower")
            lag = sightline.start("lag", "--serve", str(port), http=False)
            lag.http_port = port
            lag.wait_ready()
            with receiving() as receiver, monitoring(tmp_path, port, receiver.url):
                yield Pipeline(sightline, line, receiver, worker, stream)
        finally:
            line.restore()
            sightline.close()


@contextmanager
def kafka_behind_a_line(folder: Path) -> Iterator[tuple[Services, TcpProxy]]:
    """A broker that its clients reach through a proxy alone."""
    home = Home(folder)
    kafka, valkey = ControlledKafka(home, jars_home=JARS_HOME, heap_mib=384), ControlledValkey(home)
    with stopped_at_exit(folder):
        try:
            kafka.prepare(1)
            [broker] = kafka.brokers
            with TcpProxy(broker.client_port) as line:
                kafka.advertise({broker.broker_id: line.port})
                valkey.start()
                kafka.start(timeout_s=180)
                yield Services(kafka.bootstrap_servers, valkey.url, folder, kafka, valkey), line
        finally:
            kafka.stop()
            valkey.stop()


@contextmanager
def slowed(process: Running) -> Iterator[None]:
    """The process runs for a moment, and stands still for ten seconds, again and again."""
    ending = threading.Event()

    def run() -> None:
        while not ending.is_set():
            process.signal(signal.SIGSTOP)
            ending.wait(10.0)
            process.signal(signal.SIGCONT)
            ending.wait(0.2)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def test_the_verdict_names_workers_then_the_stream_then_kafka(pipeline: Pipeline) -> None:
    labelled(pipeline, 20)
    with slowed(pipeline.worker):
        told(pipeline, "infer (")
    labelled(pipeline, 20)
    # Twice as many cameras as before, and a stage that finishes few of their frames.
    pipeline.sightline.start("camera", "--source", "sim:cat", "--source", "sim:camera", "--fps", "20")
    with slowed(pipeline.stream):
        told(pipeline, "stream (")
    labelled(pipeline, 20)
    pipeline.line.delay(SLOW_S)
    told(pipeline, "kafka (a record waits", "kafka (slow).")
    pipeline.line.restore()
    until(lambda: pipeline.table().startswith("none"), pipeline.table)


def labelled(pipeline: Pipeline, count: int) -> None:
    """Labels are written, after what happened before."""
    before = pipeline.worker.metric("sightline_labels_total")
    until(lambda: pipeline.worker.metric("sightline_labels_total") >= before + count)


def told(pipeline: Pipeline, in_the_table: str, in_the_alert: str = "") -> None:
    """The command's table and an alert that is sent from now on name it."""
    pipeline.receiver.bodies.clear()
    seen: list[str] = []

    def stands_in_the_table() -> bool:
        seen.append(pipeline.table())
        return seen[-1].startswith(in_the_table)

    wait(stands_in_the_table, lambda: seen)
    wanted = f"Bottleneck: {in_the_alert or in_the_table}"
    wait(lambda: any(wanted in text for text in pipeline.alerts()), pipeline.alerts)


def wait(holds: Callable[[], bool], why: Callable[[], object]) -> None:
    until(holds, why, WITHIN_S)
