"""A replay as a gate, with whole commands: the same model passes, another one does not."""

import json
import time
from typing import Any

import pytest

from infra.process.times import now_us
from schemas.records import micros_to_iso
from tests.support.deployment import Deployment
from tests.support.runner import Runner
from tests.support.stream_ends import Feed, jpeg

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

FRAMES = 60
OTHER = "tests.support.models:Shifted"


def gate(sightline: Runner, name: str, model: str, begin_us: int, end_us: int) -> tuple[int, Any, str]:
    words = ("--from", micros_to_iso(begin_us), "--to", micros_to_iso(end_us), "--name", name, "--model", model)
    done = sightline.run("replay", "start", *words, "--fail-if-changed", "2%", "--noise", "20", "--json", timeout_s=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_the_same_model_passes_and_another_one_does_not(deployment: Deployment, sightline: Runner) -> None:
    begin_us = now_us()
    stages = [sightline.start("stream", "--model", "null"), sightline.start("infer", "--model", "null")]
    feed = Feed(deployment)
    for number in range(FRAMES):
        feed.send(number, jpeg(number))
    feed.close()
    until = time.monotonic() + 60
    while stages[1].metric("sightline_labels_total", origin="MODEL", decision="ACCEPTED") < FRAMES:
        assert time.monotonic() < until, stages[1].stderr
        time.sleep(0.1)
    end_us = now_us()

    code, told, said = gate(sightline, "same", "null", begin_us, end_us)
    assert (code, told["state"], told["copied"], told["labels"]) == (0, "COMPLETED", FRAMES, FRAMES), said
    code, told, said = gate(sightline, "other", OTHER, begin_us, end_us)
    assert (code, told["state"], told["labels"]) == (4, "COMPLETED", FRAMES), said

    diff = json.loads(sightline.run("replay", "diff", "other", "--json").stdout)
    assert (diff["frames"], diff["changed"], diff["noise"]) == (FRAMES, FRAMES, {"changed": 0, "of": 20})
    assert sum(pair["count"] for pair in diff["pairs"]) == FRAMES
    audit = sightline.run("audit", "--from", micros_to_iso(begin_us), "--to", micros_to_iso(end_us), "--json")
    found = json.loads(audit.stdout)
    assert (found["frames"], found["labels"], found["duplicates"], found["ok"]) == (FRAMES, FRAMES, 0, True)
    assert json.loads(sightline.run("audit", "--lane", "replay", "--from", "-10m", "--json").stdout)["ok"]
    for stage in stages:
        assert stage.stop() == 0, stage.stderr
