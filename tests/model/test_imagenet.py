"""Accuracy on the photos beside the repository, by the command that people use. Skipped where they are not."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import SHARED

PHOTOS = SHARED / "data" / "imagenet"

pytestmark = pytest.mark.skipif(not PHOTOS.is_dir(), reason="no ../shared/data/imagenet")


def test_top_1_is_that_of_the_reference(model_home: Path) -> None:
    with (PHOTOS / "labels.csv").open(newline="") as lines:
        expected = {row["file"]: row["class_index"] for row in csv.DictReader(lines)}
    command = [sys.executable, "-m", "infra.cli", "classify", str(PHOTOS), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    names = [Path(result["path"]).name for result in results]
    assert names == sorted(expected)
    ranked = [[each["class_id"] for each in result["predictions"]] for result in results]
    top_1 = sum(ids[0] == expected[name] for name, ids in zip(names, ranked, strict=True)) / len(names)
    top_5 = sum(expected[name] in ids for name, ids in zip(names, ranked, strict=True)) / len(names)
    assert top_1 >= 0.895
    assert top_5 >= 0.975
