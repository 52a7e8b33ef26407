"""Other people's programs: they know the topics, the schema files, and nothing of ours."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import simplejpeg
import skimage.data

from tests.support.deployment import Deployment
from tests.support.runner import Runner
from tests.support.services import ROOT

PICTURES: Any = skimage.data  # untyped

pytestmark = pytest.mark.kafka


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "coffee.jpg"
    file.write_bytes(simplejpeg.encode_jpeg(PICTURES.coffee(), quality=92))
    return file


def run_foreign_program(deployment: Deployment, photo: Path, folder: Path) -> dict[str, object]:
    program = Path(__file__).parent / "foreign_program.py"
    bootstrap = deployment.services.bootstrap_servers
    # -P and a foreign folder: nothing of this checkout is on its path but what is installed.
    done = subprocess.run(
        [sys.executable, "-P", str(program), bootstrap, deployment.prefix, str(ROOT / "schemas"), str(photo)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    label: dict[str, object] = json.loads(done.stdout)
    return label


def test_a_program_that_knows_only_the_schemas_gets_its_label(
    deployment: Deployment, sightline: Runner, photo: Path, tmp_path: Path
) -> None:
    sightline.start("infer", "--model", "null")
    sightline.start("stream", "--model", "null")
    label = run_foreign_program(deployment, photo, tmp_path)
    assert (label["source_id"], label["key"], label["origin"]) == ("foreign", "foreign", "MODEL")
    source = label["source"]
    assert isinstance(source, dict)
    assert source["topic"] == deployment.topics.frames
    predictions = label["predictions"]
    assert isinstance(predictions, list)
    assert sum(each["probability"] for each in predictions) <= 1.0001


def test_kcat_lists_topics_and_keys(deployment: Deployment, sightline: Runner, photo: Path, tmp_path: Path) -> None:
    kcat = shutil.which("kcat")
    if kcat is None:
        pytest.skip("kcat is not installed (apt-get install -y kcat)")
    sightline.start("infer", "--model", "null")
    sightline.start("stream", "--model", "null")
    run_foreign_program(deployment, photo, tmp_path)
    brokers = ["-b", deployment.services.bootstrap_servers]
    listed = subprocess.run([kcat, *brokers, "-L", "-J"], capture_output=True, text=True, timeout=60, check=True)
    topics = {topic["topic"] for topic in json.loads(listed.stdout)["topics"]}
    names = deployment.topics
    assert {names.frames, names.batches, names.labels, names.review, names.retry, names.dead} <= topics
    for topic, key in ((names.frames, "foreign"), (names.labels, "foreign")):
        read = subprocess.run(
            [kcat, *brokers, "-C", "-q", "-t", topic, "-o", "beginning", "-e", "-f", "%k\n"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert read.stdout.splitlines() == [key]
    batches = subprocess.run(
        [kcat, *brokers, "-C", "-q", "-t", names.batches, "-o", "beginning", "-e", "-f", "%k %p\n"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    keys_and_partitions = [line.split() for line in batches.stdout.splitlines()]
    assert keys_and_partitions
    assert all(key == partition for key, partition in keys_and_partitions)
