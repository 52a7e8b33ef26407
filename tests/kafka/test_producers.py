"""The producers of docs/examples/ as they stand there: their frames are frames."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.kafka.reader import Reader
from infra.process.times import now_us
from schemas import codec
from schemas.records import Encoding, Frame, SourceKind
from tests.support.deployment import Deployment
from tests.support.paths import ROOT
from tests.support.sink_records import a_jpeg

LIBRARIES = ("kafkajs@2.2.4", "avsc@5.7.9")


def frames_of(deployment: Deployment, program: Sequence[str], example: str, folder: Path, **env: str) -> list[Frame]:
    """The frames that the example writes of one picture. Its topic alone is another: the one of this test."""
    text = (ROOT / "docs" / "examples" / example).read_text()
    assert text.count('"frames.raw"') == 1
    (folder / example).write_text(text.replace('"frames.raw"', f'"{deployment.topics.frames}"'))
    (folder / "shot.jpg").write_bytes(a_jpeg())
    (folder / "schemas").symlink_to(ROOT / "schemas")
    words = [*program, example, deployment.services.bootstrap_servers, "gate-9", "shot.jpg", "shot.jpg"]
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    with Reader(deployment.settings()) as reader:
        records = list(reader.read(reader.spans(deployment.topics.frames)))
    assert {record.key for record in records} == {b"gate-9"}
    frames = [codec.decode(Frame, record.value) for record in records]
    assert [frame.frame_id for frame in frames] == done.stdout.split()
    return frames


def check(frames: list[Frame], program: str) -> None:
    assert [frame.frame_seq for frame in frames] == [0, 1]
    for frame in frames:
        assert frame.frame_id == f"gate-9/{frame.stream_epoch}/{frame.frame_seq}"
        assert (frame.source_id, frame.source_kind, frame.encoding) == ("gate-9", SourceKind.UPLOAD, Encoding.JPEG)
        assert frame.image == a_jpeg()
        assert (frame.uri, frame.attributes) == ("shot.jpg", {"program": program})
        assert abs(frame.captured_at - now_us()) < 120e6
        assert abs(frame.stream_epoch * 1000 - frame.received_at) < 60e6


def test_the_producer_in_python(deployment: Deployment, tmp_path: Path) -> None:
    check(frames_of(deployment, [sys.executable], "producer.py", tmp_path), "producer.py")


@pytest.mark.skipif(shutil.which("npm") is None, reason="Node.js is not installed")
def test_the_producer_in_javascript(deployment: Deployment, tmp_path: Path) -> None:
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--cache", str(tmp_path / "cache"), *LIBRARIES],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"npm has no registry here: {done.stderr[-300:]}")
    check(frames_of(deployment, ["node"], "producer.js", tmp_path), "producer.js")
