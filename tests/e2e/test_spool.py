"""Kafka goes away under a camera agent, the agent is killed, and every frame that its spool took gets its label."""

import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from ingest.publish.spool.segment import Damage, Segment
from schemas.codec import decode
from schemas.records import Frame
from tests.faults.outcomes import read_all
from tests.faults.reading import Reading
from tests.support.deployment import Deployment
from tests.support.runner import Runner, Running

CAMERAS = ("dock", "gate")
FPS = 15
# `SPOOL_OUTAGE_S=300 pytest tests/e2e/test_spool.py` is an outage of five minutes.
OUTAGE_S = float(os.environ.get("SPOOL_OUTAGE_S") or 12.0)
LIMIT_S = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def agent(sightline: Runner, folder: Path, tmp_path: Path) -> Callable[[], Running]:
    config = tmp_path / "cameras.toml"
    config.write_text(
        "\n".join(f'[[camera]]\nid = "{name}"\nsource = "sim:coffee?size=320x240"\nfps = {FPS}\n' for name in CAMERAS)
    )
    settings = {"SIGHTLINE_SPOOL__FOLDER": str(folder), "SIGHTLINE_KAFKA__START_TIMEOUT_MS": "2000"}
    return lambda: sightline.start("camera", "--config", str(config), env=settings)


@pytest.mark.system
@pytest.mark.timeout(180 + 3 * OUTAGE_S)
def test_every_frame_that_the_spool_took_has_a_label(
    deployment: Deployment, sightline: Runner, agent: Callable[[], Running], folder: Path
) -> None:
    kafka = deployment.services.kafka
    if kafka is None:
        pytest.skip("it stops a broker of its own")
    [broker] = kafka.brokers
    first = agent()
    until(lambda: first.metric("sightline_source_frames_published_total") > FPS)
    kafka.kill_broker(broker.broker_id)
    taken: set[str] = set()
    try:
        time.sleep(OUTAGE_S / 2)
        first.kill()
        taken |= in_spool(folder)
        second = agent()
        time.sleep(OUTAGE_S / 2)
        assert second.metric("sightline_spool_frames") > FPS
        taken |= in_spool(folder)
    finally:
        kafka.start_broker(broker.broker_id)
    until(lambda: second.metric("sightline_spool_frames") == 0, OUTAGE_S + LIMIT_S)
    assert second.metric("sightline_source_frames_dropped_total", reason="spool_full") == 0
    assert second.stop() == 0
    assert len(taken) > 0.5 * OUTAGE_S * FPS * len(CAMERAS)
    frames = frames_of(deployment)
    assert taken <= {frame.frame_id for frame in frames}
    for name in CAMERAS:
        captured = first_captures([frame for frame in frames if frame.source_id == name])
        assert all(before < after for before, after in pairwise(captured)), "in the order of capture"
    sightline.start("stream", "--model", "null", ready=False)
    sightline.start("infer", "--model", "null")
    reading = Reading(deployment.services.bootstrap_servers, deployment.topics)
    until(lambda: taken <= {label.frame_id for label in reading.labels()})
    until(lambda: sightline.run("audit", "--json").returncode == 0)


def in_spool(folder: Path) -> set[str]:
    """The ids of the frames that are in the files now."""
    found = (one for segment in Segment.all_in(folder) for one in segment.scan())
    return {one[1].frame_id for one in found if not isinstance(one, Damage)}


def frames_of(deployment: Deployment) -> list[Frame]:
    messages = read_all(deployment.services.bootstrap_servers, [deployment.topics.frames])
    return [decode(Frame, message.value()) for message in messages]


def first_captures(frames: list[Frame]) -> list[int]:
    """When the frames were captured, each where it came first: a killed agent may have sent one twice."""
    return list({frame.frame_id: frame.captured_at for frame in frames}.values())


def until(is_so: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    over_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < over_s, "not in time"
        time.sleep(0.2)
