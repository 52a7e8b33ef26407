"""Writes dead letters to files: images unchanged, other values as raw bytes, and a manifest beside them."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.failures.dead_letters import DeadLetter
from schemas import codec
from schemas.codec import Registry
from schemas.errors import BadFrame, ConfigError, SinkError
from schemas.records import Encoding, Frame
from sinks.dead.text import dead_letter_fields

MANIFEST = "manifest.jsonl"
MAX_NAME_CHARS = 60
_SUFFIXES = {Encoding.JPEG: ".jpg", Encoding.PNG: ".png", Encoding.WEBP: ".webp", Encoding.OTHER: ".img"}


class Export:
    """Writes to a folder without an export. It never overwrites a file and never follows a link."""

    def __init__(self, folder: Path, registry: Registry | None) -> None:
        """Raises ConfigError when the folder contains an export or cannot be written to."""
        self._folder, self._registry = folder, registry
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / MANIFEST).exists():
                raise ConfigError(f"{folder} contains an export already ({MANIFEST}): choose another folder")
            self._manifest = (folder / MANIFEST).open("x", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write to {folder} ({error.strerror}): choose another folder") from error
        self.written = 0

    def __enter__(self) -> "Export":
        return self

    def __exit__(self, *_: object) -> None:
        with self._writing():
            self._manifest.close()

    def write(self, letter: DeadLetter) -> dict[str, Any]:
        """Write one file and return its line of the manifest.

        Raises ConfigError when the file exists, SinkError when writing fails.
        """
        data, suffix = content(letter.value, self._registry)
        name = file_name(letter, suffix)
        try:
            with self._writing(), (self._folder / name).open("xb") as file:
                file.write(data)
        except FileExistsError:
            raise ConfigError(f"{self._folder / name} exists: choose another folder") from None
        line = {"file": name, **dead_letter_fields(letter, redriven=False)}
        del line["redriven"]
        with self._writing():
            self._manifest.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.written += 1
        return line

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            raise SinkError(
                f"cannot write to {self._folder} ({error.strerror}) after {self.written:,} dead letters"
            ) from error


def content(value: bytes | None, registry: Registry | None) -> tuple[bytes, str]:
    """The bytes of the file and its suffix: the image of a Frame, or the value unchanged."""
    try:
        frame = codec.decode(Frame, value, registry)
    except BadFrame:
        return value or b"", ".bin"
    return frame.image, _SUFFIXES[frame.encoding]


def file_name(letter: DeadLetter, suffix: str) -> str:
    """`3-17_dock-1_truncated.jpg`: unique because of partition and offset, and safe for any key and any headers."""
    partition, offset = letter.place
    words = [_safe(letter.source_id), _safe(letter.error_class)]
    return "_".join([f"{partition}-{offset}", *(word for word in words if word)]) + suffix


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text)[:MAX_NAME_CHARS].strip(".-")
