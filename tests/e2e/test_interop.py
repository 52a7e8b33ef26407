"""Programs of other people, which know the topics and the schema files and use none of our code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import simplejpeg
import skimage.data

from schemas import codec
from schemas.records import Label
from tests.support.batches import read_labels, wait_for
from tests.support.deployment import Deployment
from tests.support.paths import ROOT
from tests.support.runner import Runner
from tests.support.sink_records import a_frame

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
    # -P and another working directory: of this checkout, only what is installed is on its import path.
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


def test_a_header_whose_name_is_no_text_stops_nothing(
    deployment: Deployment, sightline: Runner, tmp_path: Path
) -> None:
    """Kafka takes any bytes as a header's name: here among frames, in a compressed batch, and on other topics."""
    kcat = shutil.which("kcat")
    if kcat is None:
        pytest.skip("kcat is not installed (apt-get install -y kcat)")
    frames = [tmp_path / f"{number}" for number in range(6)]
    for number, file in enumerate(frames):
        file.write_bytes(codec.encode(a_frame(number)))
    nonsense = tmp_path / "nonsense"
    nonsense.write_bytes(b"nonsense")

    def publish(topic: str, files: list[Path], *more: str | bytes) -> None:
        command = [kcat, "-b", deployment.services.bootstrap_servers, "-P", "-t", topic, "-k", "dock-1", "-p", "1"]
        subprocess.run([*command, *more, *files], timeout=60, check=True)

    names = deployment.topics
    odd: list[str | bytes] = ["-H", b"n\xe4me=1", "-H", "sightline-replay-id=r7"]
    publish(names.frames, frames[:1])
    publish(names.frames, frames[1:4], "-z", "gzip", *odd)
    publish(names.frames, frames[4:])
    for topic in (names.batches, names.retry, names.dead):
        publish(topic, [nonsense], *odd)
    infer = sightline.start("infer", "--model", "null")
    stream = sightline.start("stream", "--model", "null")

    def labels() -> list[Label]:
        return sorted(read_labels(deployment.settings()), key=lambda label: label.source.offset)

    wait_for(lambda: len(labels()) >= len(frames), 60, "a label for every frame", [infer, stream])
    assert [label.frame_id for label in labels()] == [f"dock-1/1/{number}" for number in range(6)]
    assert [label.replay_id for label in labels()] == [None, "r7", "r7", "r7", None, None]
    letters = sightline.run("dead", "list", "--json")
    assert letters.returncode == 0, letters.stderr
    told = [json.loads(line) for line in letters.stdout.splitlines()]
    assert [letter["stage"] for letter in told] == ["", "infer", "stream"]
    audit = sightline.run("audit", "--json")
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert json.loads(audit.stdout)["labels"] == len(frames)
    assert (infer.stop(), stream.stop()) == (0, 0)
