"""Which files are uploaded, and which the gateway has acknowledged before."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingest.sources.files import image_files
from schemas.errors import ConfigError


def files_of(paths: list[Path]) -> list[Path]:
    """Every file, and the pictures of every folder, each once, in order. Raises ConfigError for a path without."""
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path}: there is no such file or folder")
        found.update(dict.fromkeys(image_files(path) if path.is_dir() else [path]))
    return list(found)


def digest_of(data: bytes) -> str:
    """Names a file by its content: the idempotency key of its upload."""
    return hashlib.sha256(data).hexdigest()


class Acknowledged:
    """The files that a gateway has acknowledged, in a file of JSON lines: what is there is not sent again.

    A line is appended and flushed for each, so a killed upload goes on where it was; a torn last line counts as none.
    Any thread may use it.
    """

    def __init__(self, path: Path, url: str) -> None:
        self._url, self._lock = url, threading.Lock()
        self._done: dict[str, str] = {}
        for line in _lines(path):
            if line.get("url") == url and isinstance(line.get("sha256"), str) and isinstance(line.get("frame_id"), str):
                self._done[line["sha256"]] = line["frame_id"]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
            if self._file.tell() and path.read_bytes()[-1:] != b"\n":
                self._file.write(b"\n")
        except OSError as error:
            raise ConfigError(f"the upload cannot note what is done in {path}: {error.strerror}") from error

    def frame_of(self, digest: str) -> str | None:
        """The frame of a file that was acknowledged before."""
        return self._done.get(digest)

    def add(self, digest: str, frame_id: str) -> None:
        """It is on disk when this returns."""
        line = json.dumps({"url": self._url, "sha256": digest, "frame_id": frame_id})
        with self._lock:
            self._file.write(line.encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._done[digest] = frame_id

    def close(self) -> None:
        self._file.close()


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found
