"""Consumers in every state on a real cluster: what `sightline lag` says, and what a real Alertmanager sends.

The rules are the shipped ones, with shorter `for` and `keep_firing_for`, so that what lasts minutes is seen in seconds.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import NewTopic

from infra.kafka.clients import admin
from infra.process.ports import find_ports
from infra.process.supervise import http_get
from tests.support.deployment import Deployment
from tests.support.lag_consumers import commit, reading, write, writing
from tests.support.prometheus import monitoring, until
from tests.support.receiver import Receiver, receiving
from tests.support.runner import Runner

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.system]

LAG = {
    "SIGHTLINE_LAG__LOOK_INTERVAL_S": "1",
    "SIGHTLINE_LAG__STUCK_AFTER_S": "5",
    "SIGHTLINE_LAG__TREND_AFTER_S": "8",
}
STUCK, BEHIND = "SightlineGroupStuck", "SightlineGroupFallsBehind"
# A process that reads and is killed: its group has a member until the session is over.
READER = """
import sys
from confluent_kafka import Consumer
servers, group, topic = sys.argv[1:]
reader = Consumer({"bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest",
                   "session.timeout.ms": 6000, "auto.commit.interval.ms": 200})
reader.subscribe([topic])
while True:
    if reader.poll(1.0) is not None:
        print("read", flush=True)
"""


def alerts(receiver: Receiver) -> dict[tuple[str, str], dict[str, Any]]:
    """The last word of each alert that was received, by its name and group."""
    return {
        (alert["labels"]["alertname"], alert["labels"].get("group", "")): alert
        for body in list(receiver.bodies)
        for alert in body["alerts"]
    }


def firing(receiver: Receiver) -> set[tuple[str, str]]:
    return {name for name, alert in alerts(receiver).items() if alert["status"] == "firing"}


@contextmanager
def killed(deployment: Deployment, group: str, topic: str) -> Iterator[None]:
    """The group's only process has read something and was killed."""
    words = [sys.executable, "-c", READER, deployment.services.bootstrap_servers, group, topic]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"read\n"
        time.sleep(1.0)  # it commits every 0.2 s
        process.kill()
    yield


@pytest.fixture
def topic(deployment: Deployment) -> str:
    name = f"{deployment.prefix}lag"
    client = admin(deployment.settings())  # a local variable: the answers come only while the client exists
    for future in client.create_topics([NewTopic(name, 1, 1)]).values():
        future.result(30)
    return name


def test_each_consumer_that_is_ill_is_told_and_taken_back(
    deployment: Deployment, sightline: Runner, topic: str, tmp_path: Path
) -> None:
    named = {name: f"{deployment.prefix}{name}" for name in
             ("healthy", "slow", "stopped", "stuck", "rewound", "dead", "sightline-stream")}  # fmt: skip
    ill = {
        "slow": BEHIND, "stopped": STUCK, "stuck": STUCK, "rewound": STUCK, "dead": STUCK, "sightline-stream": STUCK
    }  # fmt: skip
    expected = {(alert, named[name]) for name, alert in ill.items()}
    env = {**LAG, "SIGHTLINE_LAG__INCLUDE": json.dumps([f"{deployment.prefix}*"])}
    [port] = find_ports(1)
    write(deployment, topic, 60)
    for name, offset in (("stopped", 4), ("stuck", 4), ("rewound", 40)):
        commit(deployment, named[name], topic, offset)
    with ExitStack() as all_the_time:
        receiver = all_the_time.enter_context(receiving())
        serving = sightline.start("lag", "--serve", str(port), env=env, http=False)
        serving.http_port = port
        serving.wait_ready()
        all_the_time.enter_context(monitoring(tmp_path, port, receiver.url))
        all_the_time.enter_context(writing(deployment, topic, 0.1))
        all_the_time.enter_context(reading(deployment, named["healthy"], topic))
        with ExitStack() as illness:
            illness.enter_context(killed(deployment, named["dead"], topic))
            illness.enter_context(reading(deployment, named["slow"], topic, pause_s=0.4))
            illness.enter_context(reading(deployment, named["stuck"], topic, commits=False))
            commit(deployment, named["rewound"], topic, 5)
            write(deployment, deployment.topics.frames, 3)
            until(lambda: expected <= firing(receiver), lambda: (expected - firing(receiver), reports(port)))
            _says(reports(port), named)
            _one_shot_says(sightline, deployment, env, named)
            told = alerts(receiver)[STUCK, named["sightline-stream"]]["annotations"]["description"]
            assert "Bottleneck: stream (no_process)." in told
        for name in ill:
            place = deployment.topics.frames if name == "sightline-stream" else topic
            all_the_time.enter_context(reading(deployment, named[name], place))
        until(lambda: not firing(receiver) & expected, lambda: (firing(receiver), reports(port)))
        assert {name for name, group in named.items() if reports(port)[group]["status"] != "OK"} == set()
        assert not {alert for alert, group in alerts(receiver) if group == named["healthy"]}


def reports(port: int) -> dict[str, dict[str, Any]]:
    return {one["group"]: one for one in json.loads(http_get(port, "/v1/groups", 5.0)[1])}


def _says(found: Mapping[str, dict[str, Any]], named: Mapping[str, str]) -> None:
    """The state of each group, and why."""
    for name, status, part, why in (
        ("healthy", "OK", "OK", ""),
        ("slow", "WARN", "WARN", "falls behind by"),
        ("stopped", "ERR", "STOP", "no member reads: no commit for"),
        ("stuck", "ERR", "STALL", "reads it and commits nothing new"),
        ("rewound", "ERR", "REWIND", "went back by 35"),
        ("dead", "ERR", "STOP", "no member reads"),
        ("sightline-stream", "ERR", "STOP", "never committed, and no member reads: 3 records wait"),
    ):
        report = found[named[name]]
        states = {one["status"] for one in report["partitions"] if one["current_lag"]} or {"OK"}
        assert (report["status"], why in report["cause"]) == (status, True), report
        assert part in states, report


def _one_shot_says(sightline: Runner, deployment: Deployment, env: dict[str, str], named: Mapping[str, str]) -> None:
    """`sightline lag --json` tells who stands still from its first look on, without having watched."""
    done = sightline.run("lag", "--json", env={**env, "SIGHTLINE_LAG__STUCK_AFTER_S": "2"})
    assert done.returncode == 0, done.stderr
    found = {one["group"]: one["status"] for one in json.loads(done.stdout)}
    assert {name for name, group in named.items() if found[group] == "ERR"} >= {"stopped", "dead", "sightline-stream"}
    assert found[named["healthy"]] == "OK"
