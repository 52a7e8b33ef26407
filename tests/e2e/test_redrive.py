"""A dead letter that is redriven becomes a label with the coordinates of its frame, and `sightline audit` agrees."""

import json

import pytest

from schemas import codec
from schemas.coordinates import Coordinates
from tests.support.deployment import Deployment
from tests.support.runner import Runner
from tests.support.sink_records import Wire, a_frame

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def test_a_redriven_frame_is_labelled_under_its_own_coordinates(sightline: Runner, deployment: Deployment) -> None:
    wire = Wire(deployment)
    # The test writes the dead letter itself; the pipeline starts later and also reads the frame from frames.raw.
    (source,) = wire.frames(1, partition=1)
    wire.dead(source, codec.encode(a_frame(0)), stage="infer", error_class="ModelError", attempt=3)
    assert json.loads(sightline.run("audit", "--json").stdout)["dead"] == 1
    null = {"SIGHTLINE_INFER__MODEL": "null"}
    sightline.start("infer", env=null)
    sightline.start("stream", env=null)
    done = sightline.run("redrive", "--all", "--execute", "--json")
    assert (done.returncode, json.loads(done.stdout)["redriven"]) == (0, 1)
    labels = sightline.run("subscribe", "--from", "-1h", "--limit", "2", "--format", "json")
    sources = [Coordinates(**json.loads(line)["source"]) for line in labels.stdout.splitlines()]
    assert sources == [source, source], "once from frames.raw, once from frames.retry"
    once = sightline.run("subscribe", "--from", "-1h", "--limit", "1", "--format", "json", "--dedupe")
    assert len(once.stdout.splitlines()) == 1
    found = json.loads(sightline.run("audit", "--json").stdout)
    assert (found["frames"], found["labels"], found["dead"], found["ok"]) == (1, 1, 0, True)
