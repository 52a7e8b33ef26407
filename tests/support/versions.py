"""Other versions of Sightline, as folders that run with the present environment: an earlier one and one to come."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.cli import PACKAGES
from tests.support.paths import ROOT
from tests.support.runner import Runner

# The last commit before `frames.batches` outlived its workers, before records had credible times (the header
# `sightline-clock`), and before a batch of an unknown version stopped the worker. Its dependencies are the same.
PREVIOUS = "532ebf9afe948d08eb3ab4dbcd7bf4aac828715d"
COMMAND = (sys.executable, "-m", "infra.cli")


def runner_of(folder: Path, env: Mapping[str, str]) -> Runner:
    """Runs the commands of the version in that folder."""
    return Runner({**env, "PYTHONPATH": str(folder)}, folder, COMMAND)


def previous_version(folder: Path) -> Path:
    """The version before this one. Skips the test where the clone has no such commit (it is shallow, or no clone)."""
    archive = ["git", "-C", str(ROOT), "archive", PREVIOUS, *PACKAGES, "pyproject.toml"]
    try:
        found = subprocess.run(archive, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"the commit {PREVIOUS[:7]} is not in this clone")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def next_version(folder: Path) -> Path:
    """A version to come: every record has one field more, with a default."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    schemas = folder / "schemas"
    add_field(schemas, "microbatch", {"name": "made_for", "type": ["null", "string"], "default": None}, before="pixels")
    add_field(schemas, "frame", {"name": "exposure_us", "type": "long", "default": 0})
    add_field(schemas, "label", {"name": "made_on", "type": ["null", "string"], "default": None})
    records = (schemas / "records.py").read_text()
    for last, added in (
        ("    attributes: dict[str, str] = field(default_factory=dict)\n", "    exposure_us: int = 0\n"),
        ("    pixels: bytes\n", "    made_for: str | None = None\n"),
        ("    detections: tuple[Detection, ...] = ()\n", "    made_on: str | None = None\n"),
    ):
        assert records.count(last) == 1
        records = records.replace(last, last + added)
    (schemas / "records.py").write_text(records)
    codec, rule = (schemas / "codec.py").read_text(), "all(item.replay_of is None for item in record.items)"
    assert codec.count(rule) == 1
    # Its batches have something that no former version holds.
    (schemas / "codec.py").write_text(codec.replace(rule, "False"))
    return folder


def add_field(schemas: Path, name: str, field: dict[str, Any], before: str = "") -> None:
    """As a change of a schema is made: the new version beside the old ones."""
    schema = json.loads((schemas / f"{name}.avsc").read_text())
    names = [one["name"] for one in schema["fields"]]
    schema["fields"].insert(names.index(before) if before else len(names), field)
    number = len(list((schemas / "history" / name).glob("*.avsc"))) + 1
    for path in (schemas / f"{name}.avsc", schemas / "history" / name / f"{number}.avsc"):
        path.write_text(json.dumps(schema))
