"""Which alert makes another one superfluous: a real Alertmanager with the shipped configuration."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.monitoring.config import EXAMPLE, RULES
from infra.process.supervise import http_get
from tests.support.prometheus import alertmanager_at, until

GROUP, OTHER = {"group": "sightline-infer"}, {"group": "sightline-stream"}
CAMERA, NEXT = {"source_id": "dock-1"}, {"source_id": "dock-2"}
Alert = tuple[str, dict[str, str]]


def named(*alerts: Alert) -> set[str]:
    return {" ".join([name, *labels.values()]) for name, labels in alerts}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (  # Kafka is down: everything is late, and there is one thing to do
            [("SightlineKafkaDown", {}), ("SightlineGroupStuck", GROUP), ("SightlineCameraDown", CAMERA)],
            [("SightlineKafkaDown", {})],
        ),
        (  # a group that stands still is behind too, and no other group is
            [("SightlineGroupStuck", GROUP), ("SightlineLagHigh", GROUP), ("SightlineNothingSettled", GROUP),
             ("SightlineGroupFallsBehind", OTHER)],
            [("SightlineGroupStuck", GROUP), ("SightlineGroupFallsBehind", OTHER)],
        ),
        ([("SightlineLagHigh", GROUP), ("SightlineLabelsLate", {})], [("SightlineLagHigh", GROUP)]),
        (
            [("SightlineCameraDown", CAMERA), ("SightlineCameraSlow", CAMERA), ("SightlineCameraSlow", NEXT)],
            [("SightlineCameraDown", CAMERA), ("SightlineCameraSlow", NEXT)],
        ),
        ([("SightlineReviewFlood", {}), ("SightlineCameraReview", CAMERA)], [("SightlineReviewFlood", {})]),
        ([("SightlineManyDeadLetters", {}), ("SightlineDeadLetters", {})], [("SightlineManyDeadLetters", {})]),
        (
            [("SightlineKafkaDown", {}), ("SightlineWatchdog", {})],
            [("SightlineKafkaDown", {}), ("SightlineWatchdog", {})],
        ),
        (
            [("SightlineLagHigh", {**GROUP, "threshold": "very_high_for_short_period"}),
             ("SightlineLagHigh", {**GROUP, "threshold": "relatively_high_for_long_period"})],
            [("SightlineLagHigh", {**GROUP, "threshold": "very_high_for_short_period"})],
        ),
    ],
)  # fmt: skip
def test_who_is_told_when_several_alerts_fire(given: list[Alert], told: list[Alert], tmp_path: Path) -> None:
    def active() -> set[str]:
        found: list[dict[str, Any]] = json.loads(http_get(port, "/api/v2/alerts", 5.0)[1])
        free = [one["labels"] for one in found if not one["status"]["inhibitedBy"]]
        return {" ".join([one.pop("alertname"), *one.values()]) for one in free}

    with alertmanager_at(tmp_path, []) as port:
        fire(port, given)
        until(lambda: active() == named(*told), active, within_s=10)


def fire(port: int, alerts: list[Alert]) -> None:
    body = json.dumps([{"labels": {"alertname": name, **labels}} for name, labels in alerts]).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v2/alerts", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=5).close()


def test_the_inhibitions_speak_of_alerts_that_exist() -> None:
    rules = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    named = set(re.findall(r"Sightline[A-Z]\w+", EXAMPLE.read_text()))
    assert named <= rules
