"""Cameras beside one whose pictures take the decoder seconds each: on other partitions, and on its own."""

import time
from collections.abc import Mapping

import pytest
from PIL import Image

from infra.kafka.publisher import Publisher
from infra.kafka.sender import DeliveryReport, OutRecord
from schemas import codec
from schemas.records import Encoding, Frame, SourceKind
from streams.bench.measure import percentile
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.images import encoded, textured
from tests.support.runner import Runner
from tests.support.stream_ends import Outcomes, Place, committed_of

pytestmark = [pytest.mark.timeout(600), pytest.mark.system]

CAMERAS = 12
HARD = CAMERAS - 1  # this camera's number; it shares its partition with two others
FPS = 4.0
WARM_UP_S, MEASURED_S = 6.0, 25.0
MAX_RATIO = 4.0
# A shorter one is the deadline, and what else the machine does; its ratio says nothing. A stage that waits for the hard
# pictures is behind by the seconds that they take, and more with each.
LEAST_P95_S = 0.5


class Cameras:
    """Twelve cameras that send at FPS; `places`: of every frame its (partition, offset), and its camera."""

    def __init__(self, deployment: Deployment) -> None:
        self._publisher, self._topic = Publisher(deployment.settings()), deployment.topics.frames
        self.places: dict[Place, int] = {}
        self._easy = [encoded(textured(640, 480, seed)) for seed in range(CAMERAS)]
        self._number = 0

    def send(self, seconds: float, hard: bytes | None = None) -> None:
        """Every camera sends, the hard one `hard` pictures."""
        started_s = time.monotonic()
        for number in range(int(seconds * FPS * CAMERAS)):
            time.sleep(max(0.0, started_s + number / (FPS * CAMERAS) - time.monotonic()))
            camera = number % CAMERAS
            self._send(camera, hard if hard is not None and camera == HARD else self._easy[camera])

    def close(self) -> None:
        assert self._publisher.close(30) == 0

    def _send(self, camera: int, image: bytes) -> None:
        self._number += 1
        now_us = time.time_ns() // 1000
        frame = Frame(
            f"cam{camera}/1/{self._number}", f"cam{camera}", SourceKind.CAMERA, 1, self._number, now_us, now_us,
            Encoding.JPEG, image,
        )  # fmt: skip

        def delivered(report: DeliveryReport) -> None:
            assert report.fault is None
            self.places[report.partition, report.offset] = camera

        self._publisher.send(
            OutRecord(
                self._topic, frame.source_id, codec.encode(frame), partition=camera % PARTITIONS, on_delivery=delivered
            )
        )


def p95_s(outcomes: Outcomes, cameras: set[int], from_us: float, to_us: float) -> float:
    """From a frame's capture to its micro-batch, of the frames that these cameras captured in that time."""
    waited_s = [
        record.timestamp_ms / 1e3 - item.captured_at / 1e6
        for batch, record in outcomes.batches
        for item in batch.items
        if from_us <= item.captured_at < to_us and int(item.source_id.removeprefix("cam")) in cameras
    ]
    assert len(waited_s) > 50
    return percentile(waited_s, 0.95)


def hard_offsets(outcomes: Outcomes) -> list[int]:
    return [item.offset for batch, _ in outcomes.batches for item in batch.items if item.source_id == f"cam{HARD}"]


def test_eleven_cameras_go_on_while_a_twelfth_sends_pictures_that_take_seconds_each(
    deployment: Deployment, sightline: Runner, outcomes: Outcomes
) -> None:
    hard = encoded(Image.new("RGB", (7000, 7000), (10, 20, 30)), "JPEG2000")
    cameras = Cameras(deployment)
    stage = sightline.start("stream", "--model", "null", "--no-cache")
    cameras.send(WARM_UP_S)
    alone_us = time.time() * 1e6
    cameras.send(MEASURED_S)
    beside_us = time.time() * 1e6
    cameras.send(MEASURED_S, hard)
    end_us = time.time() * 1e6
    cameras.close()
    assert stage.metric("sightline_stream_hard_frames") > 10, "the hard ones are far behind"
    found = outcomes.wait_for({place for place, camera in cameras.places.items() if camera != HARD}, 30)
    assert set(found.values()) == {1}
    others = set(range(CAMERAS)) - {HARD}
    sharing = {camera for camera in others if camera % PARTITIONS == HARD % PARTITIONS}
    ratios: Mapping[str, float] = {
        name: p95_s(outcomes, chosen, beside_us, end_us)
        / max(LEAST_P95_S, p95_s(outcomes, chosen, alone_us, beside_us))
        for name, chosen in (("others", others), ("on its partition", sharing))
    }
    assert max(ratios.values()) < MAX_RATIO, ratios
    assert stage.stop() == 0, stage.stderr
    outcomes.read_rest()
    of_hard = sorted(offset for (_, offset), camera in cameras.places.items() if camera == HARD)
    written = hard_offsets(outcomes)
    assert written == of_hard[: len(written)], "in order"
    assert committed_of(deployment, HARD % PARTITIONS) <= of_hard[len(written)], "not past a frame without an outcome"


def test_a_camera_that_sends_more_than_the_decoders_can_do_keeps_no_partition_waiting_and_loses_nothing(
    deployment: Deployment, sightline: Runner, outcomes: Outcomes
) -> None:
    hard = encoded(Image.new("RGB", (5000, 5000), (10, 20, 30)), "JPEG2000")
    cameras = Cameras(deployment)
    words = ("stream", "--model", "null", "--no-cache")
    few = {"SIGHTLINE_STREAM__MAX_FRAMES_AHEAD": "160"}
    stage = sightline.start(*words, env=few)
    cameras.send(WARM_UP_S)
    alone_us = time.time() * 1e6
    cameras.send(14, hard)
    end_us = time.time() * 1e6
    cameras.close()
    deferred = stage.metric("sightline_retries_total", stage="stream", reason="deferred")
    assert deferred > 5, stage.metric("sightline_stream_hard_frames")
    easy = {place for place, camera in cameras.places.items() if camera != HARD}
    outcomes.wait_for(easy, 30)
    sharing = {camera for camera in range(CAMERAS - 1) if camera % PARTITIONS == HARD % PARTITIONS}
    assert p95_s(outcomes, sharing, alone_us, end_us) < LEAST_P95_S * MAX_RATIO
    stage.kill()  # what is deferred by now is on the retry topic alone
    committed = committed_of(deployment, HARD % PARTITIONS)
    again = sightline.start(*words, env=few)
    found = outcomes.wait_for(set(cameras.places), 120)
    mine = {place for place in easy if place[0] == HARD % PARTITIONS}
    assert {found[place] for place in mine if place[1] < committed} == {1}, "what was committed is not read again"
    assert committed > 0
    assert not outcomes.dead
    assert again.stop() == 0, again.stderr
