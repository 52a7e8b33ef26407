"""What `sightline camera` says about a folder before it starts."""

import os
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from infra.settings import load_settings
from ingest.camera.command import _log_left_out
from ingest.camera.spec import camera_spec


def test_what_of_a_folder_is_not_sent_is_told_and_the_folder_is_walked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    for number in range(7):
        (tmp_path / f"table-{number}.csv").write_text("")
    walked: list[str] = []
    real: Any = os.scandir

    def scandir(path: Any) -> Any:
        walked.append(os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with capture_logs() as told:
        _log_left_out([camera_spec({"source": str(tmp_path), "id": "cam"}, load_settings().camera)])
    assert walked == [str(tmp_path)]
    [line] = told
    assert (line["source_id"], line["files"]) == ("cam", 7)
    assert line["such_as"] == [f"table-{number}.csv" for number in range(5)]
