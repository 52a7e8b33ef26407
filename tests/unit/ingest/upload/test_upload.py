"""`sightline upload` without a gateway: which files, what is noted, when it tries again."""

from pathlib import Path

import pytest

from ingest.upload.client import retry_wait_s, told
from ingest.upload.plan import Acknowledged, files_of
from schemas.errors import ConfigError


def test_files_and_the_pictures_of_folders_each_once(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png", "notes.txt", "c"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in files_of([tmp_path / "c", tmp_path])] == ["c", "a.jpg", "b.png"]
    with pytest.raises(ConfigError, match="nowhere"):
        files_of([tmp_path / "nowhere"])


def test_what_is_noted_survives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "noted" / "x.jsonl"
    noted = Acknowledged(path, "http://a")
    noted.add("d1", "f1")
    noted.close()
    with path.open("ab") as file:
        file.write(b'{"url": "http://a", "sha256": "d2", "fra')
    noted = Acknowledged(path, "http://a")
    assert (noted.frame_of("d1"), noted.frame_of("d2")) == ("f1", None)
    noted.add("d2", "f2")
    noted.close()
    again, other = Acknowledged(path, "http://a"), Acknowledged(path, "http://b")
    assert again.frame_of("d2") == "f2"
    assert other.frame_of("d1") is None, "another gateway has other frames"
    again.close()
    other.close()


def test_it_waits_as_long_as_it_is_told() -> None:
    assert [retry_wait_s("7", 3), retry_wait_s(None, 0), retry_wait_s(None, 3), retry_wait_s("soon", 50)] == [
        7,
        1,
        8,
        30,
    ]
    assert told(b'{"code": "rate", "detail": "too fast"}', 429) == "429 rate: too fast"
    assert told(b"<html>", 502) == "502"
