"""Both stages with a model whose input has odd sides, in every encoding, and the cache between them."""

import pytest

from schemas.records import Origin
from tests.support.batches import read_labels, wait_for
from tests.support.deployment import Deployment
from tests.support.paths import ROOT
from tests.support.runner import Runner
from tests.support.stream_ends import Feed, jpeg

pytestmark = pytest.mark.timeout(300)

MODEL = ("--model", "tests.support.models:Odd")
ENV = {"PYTHONPATH": str(ROOT), "SIGHTLINE_REDIS__TIMEOUT_MS": "5000"}
FRAMES = 24


@pytest.mark.parametrize("encoding", ["I420", "RGB24", "JPEG"])
def test_frames_for_an_odd_input_become_labels_and_their_repeats_come_from_the_cache(
    deployment: Deployment, sightline: Runner, encoding: str
) -> None:
    env = ENV | {"SIGHTLINE_STREAM__ENCODING": encoding}
    stream, infer = (sightline.start(stage, *MODEL, env=env) for stage in ("stream", "infer"))
    feed = Feed(deployment)
    for origin in (Origin.MODEL, Origin.CACHE_EXACT):
        for number in range(FRAMES):
            feed.send(number, image=jpeg(number, side=240))
        wanted = FRAMES if origin is Origin.MODEL else 2 * FRAMES
        wait_for(lambda: len(read_labels(deployment.settings())) == wanted, 60, "all labels", [stream, infer])  # noqa: B023
        labels = read_labels(deployment.settings())
        assert sum(label.origin is origin for label in labels) == FRAMES, infer.stderr
        if origin is Origin.MODEL:
            wait_for(
                lambda: infer.metric("sightline_cache_stores_total", result="stored") == FRAMES, 10, "stored", [infer]
            )
    feed.close()
    first = {label.frame_id: label.predictions for label in labels if label.origin is Origin.MODEL}
    assert all(label.predictions == first[label.frame_id] for label in labels)
    assert stream.stop() == 0, stream.stderr
    assert infer.stop() == 0, infer.stderr


def test_a_worker_with_another_scope_stores_nothing_that_the_stage_would_find(
    deployment: Deployment, sightline: Runner
) -> None:
    """The stage makes the pixels, and the worker names them by how the stage made them, whatever its own settings."""
    stream = sightline.start("stream", *MODEL, env=ENV | {"SIGHTLINE_STREAM__SAMPLE_RANGE": "full"})
    infer = sightline.start("infer", *MODEL, env=ENV)
    feed = Feed(deployment)
    for number in range(FRAMES):
        feed.send(number, image=jpeg(number, side=240))
    wait_for(lambda: infer.metric("sightline_cache_stores_total", result="stored") == FRAMES, 60, "stored", [infer])
    assert stream.stop() == 0, stream.stderr
    again = sightline.start("stream", *MODEL, env=ENV)  # with the worker's settings: another way of making pixels
    for number in range(FRAMES):
        feed.send(number, image=jpeg(number, side=240))
    wait_for(lambda: len(read_labels(deployment.settings())) == 2 * FRAMES, 60, "all labels", [again, infer])
    assert {label.origin for label in read_labels(deployment.settings())} == {Origin.MODEL}
    feed.close()
