"""`classify` and the pipeline are the same code: photos sent through Kafka get the labels that `classify` gives."""

import json
from pathlib import Path
from typing import Any

import pytest
import simplejpeg
import skimage.data
import sklearn.datasets

from tests.support.deployment import Deployment
from tests.support.paths import ROOT, SHARED
from tests.support.runner import Runner

PICTURES: Any = skimage.data  # untyped

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PHOTOS = SHARED / "data" / "imagenet"
MODEL_HOME = ROOT / ".sightline"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The photos beside the repository, or those inside scikit-image and scikit-learn."""
    if PHOTOS.is_dir():
        return PHOTOS
    china, flower = sklearn.datasets.load_sample_images().images
    data = {"astronaut": PICTURES.astronaut(), "coffee": PICTURES.coffee(), "cat": PICTURES.chelsea()}
    for name, picture in {**data, "china": china, "flower": flower, "rocket": PICTURES.rocket()}.items():
        (tmp_path / f"{name}.jpg").write_bytes(simplejpeg.encode_jpeg(picture, quality=92))
    return tmp_path


def test_photos_through_kafka_get_the_labels_of_classify(
    deployment: Deployment, sightline: Runner, photos: Path
) -> None:
    model = {"SIGHTLINE_INFER__MODEL": "efficientnet-lite0"}
    # The converted model is kept with the checkout, because converting it in each test run costs minutes.
    at_home = {"SIGHTLINE_HOME": str(MODEL_HOME)}
    classified = sightline.run("classify", str(photos), "--json", env={**model, **at_home}, timeout_s=600)
    assert classified.returncode == 0, classified.stderr[-2000:]
    expected = {Path(line["path"]).name: line for line in map(json.loads, classified.stdout.splitlines())}

    sightline.start("infer", env={**model, **at_home})
    sightline.start("stream", env=model)
    sent = sightline.run("camera", "--source", str(photos), "--id", "photos", "--fps", "100", timeout_s=300)
    assert sent.returncode == 0, sent.stderr[-2000:]
    audit = sightline.run("audit", "--from", "-1h", "--wait", "120", "--json", timeout_s=300)
    assert audit.returncode == 0, audit.stdout
    limit = str(len(expected))
    read = sightline.run("subscribe", "--from", "-1h", "--limit", limit, "--format", "json", timeout_s=120)
    labels = [json.loads(line) for line in read.stdout.splitlines()]

    names = sorted(expected)
    same = sum(
        label["predictions"][0]["class_id"] == expected[names[_number(label)]]["predictions"][0]["class_id"]
        for label in labels
    )
    assert len(labels) == len(expected)
    assert same >= 0.97 * len(expected)


def _number(label: dict[str, str]) -> int:
    """The frame number of a file: a folder's files are sent in the order of their names, numbered from 0."""
    return int(label["frame_id"].rpartition("/")[2])
