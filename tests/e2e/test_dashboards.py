"""Every query of a dashboard is one that a real Prometheus takes, on metrics that a real pipeline exports."""

import json
import re
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.monitoring.boards import DASHBOARDS
from infra.process.ports import find_ports
from infra.process.supervise import http_get
from tests.support.deployment import Deployment
from tests.support.prometheus import monitoring, prometheus_at, until
from tests.support.receiver import receiving
from tests.support.runner import Runner, Running

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.system]

NAME = re.compile(r"\b(?:sightline|kafka|process)_[a-z0-9_]+")
# Metrics that this run cannot export, and why.
ELSEWHERE = {
    "sightline_gpu_utilization_ratio": "needs a GPU",
    "sightline_gpu_memory_used_bytes": "needs a GPU",
    "sightline_gpu_memory_total_bytes": "needs a GPU",
    "sightline_gpu_temperature_celsius": "needs a GPU",
    "sightline_confidence_drift_psi": "needs hundreds of labels of one camera",
    "sightline_confidence_drift_critical_psi": "needs hundreds of labels of one camera",
}
# Alerts that say something else of so short a run, in which hours are seconds: a start is no trend, and the model that
# runs here takes no time that a cache could save.
SHORT = {"SightlineMemoryGrows", "SightlineCacheUseless"}
QUERIES = sorted({query for board in DASHBOARDS for panel in board.panels for query, _ in panel.queries})


@pytest.fixture
def running(deployment: Deployment, sightline: Runner, tmp_path: Path) -> Iterator[list[Running]]:
    """Every kind of process of the pipeline, and the lag monitor."""
    [port] = find_ports(1)
    stages = [
        sightline.start("infer", "--model", "null"),
        sightline.start("stream", "--model", "null"),
        sightline.start("sink", "jsonl", str(tmp_path / "labels")),
        sightline.start("camera", "--source", "sim:coffee"),
    ]
    # Tests before this one leave groups on the broker that nobody serves any more, and those are stuck indeed.
    mine = json.dumps([f"{deployment.prefix}*"])
    env = {"SIGHTLINE_LAG__LOOK_INTERVAL_S": "1", "SIGHTLINE_LAG__INCLUDE": mine}
    lag = sightline.start("lag", "--serve", str(port), env=env, http=False)
    lag.http_port = port
    lag.wait_ready()
    until(lambda: stages[2].metric("sightline_sink_labels_total") > 10)
    until(lambda: "sightline_bottleneck{" in lag.probe("/metrics")[1])
    yield [*stages, lag]


def exported(processes: list[Running]) -> set[str]:
    """The names of all series that may exist, also those that have no value yet."""
    names: set[str] = set()
    for process in processes:
        for name, kind in re.findall(r"^# TYPE (\w+) (\w+)", process.probe("/metrics")[1], re.MULTILINE):
            ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            names |= {name + end for end in ends}
    return names


def test_every_panel_asks_for_metrics_that_are_there(running: list[Running], tmp_path: Path) -> None:
    missing = {name for query in QUERIES for name in NAME.findall(query)} - exported(running) - ELSEWHERE.keys()
    assert missing == set()
    with prometheus_at(tmp_path, {}) as port:
        for query in QUERIES:
            asked = re.sub(r"\$(?!__)\w+", ".*", query).replace("$__rate_interval", "1m")
            code, body = http_get(port, f"/api/v1/query?query={urllib.parse.quote(asked)}", 5.0)
            assert code == 200, (asked, body)


def test_a_healthy_pipeline_raises_no_alert_but_the_watchdog(running: list[Running], tmp_path: Path) -> None:
    """By the shipped rules, on what all of its processes export."""
    with receiving() as receiver, monitoring(tmp_path, running[-1].http_port, receiver.url) as port:

        def asked(path: str) -> Any:
            return json.loads(http_get(port, path, 5.0)[1])["data"]

        def scraped(metric: str) -> bool:
            return bool(asked(f"/api/v1/query?query={metric}")["result"])

        names = ("sightline_model_ready", "sightline_camera_up", "sightline_sink_labels_total", "sightline_cache_up")
        until(lambda: all(scraped(name) for name in names))
        time.sleep(5.0)  # the rules are judged every second
        alerts = [one["labels"] for one in asked("/api/v1/alerts")["alerts"]]
        assert {one["alertname"] for one in alerts} - SHORT == {"SightlineWatchdog"}, alerts
