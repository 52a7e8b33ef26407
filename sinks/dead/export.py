"""Dead letters as files: images as they are, anything else as raw bytes, and a manifest beside them."""

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
from sinks.dead.text import letter_fields

MANIFEST = "manifest.jsonl"
MAX_NAME_CHARS = 60
_SUFFIXES = {Encoding.JPEG: ".jpg", Encoding.PNG: ".png", Encoding.WEBP: ".webp", Encoding.OTHER: ".img"}


class Export:
    """Writes into a folder that has no export yet; what exists is never written to, and no link followed."""

    def __init__(self, folder: Path, registry: Registry | None) -> None:
        """Raises ConfigError when the folder holds an export or cannot be written to."""
        self._folder, self._registry = folder, registry
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / MANIFEST).exists():
                raise ConfigError(f"{folder} holds an export already ({MANIFEST}): name another folder")
            self._manifest = (folder / MANIFEST).open("x", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write to {folder} ({error.strerror}): name another folder") from error
        self.written = 0

    def __enter__(self) -> "Export":
        return self

    def __exit__(self, *_: object) -> None:
        with self._writing():
            self._manifest.close()

    def write(self, letter: DeadLetter) -> dict[str, Any]:
        """A file and its line in the manifest. Raises ConfigError when the file exists, SinkError when it fails."""
        data, suffix = content(letter.value, self._registry)
        name = file_name(letter, suffix)
        try:
            with self._writing(), (self._folder / name).open("xb") as file:
                file.write(data)
        except FileExistsError:
            raise ConfigError(f"{self._folder / name} exists: name another folder") from None
        line = {"file": name, **letter_fields(letter, redriven=False)}
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
    """The image of a Frame and its suffix, or the bytes as they are."""
    try:
        frame = codec.decode(Frame, value, registry)
    except BadFrame:
        return value or b"", ".bin"
    return frame.image, _SUFFIXES[frame.encoding]


def file_name(letter: DeadLetter, suffix: str) -> str:
    """`3-17_dock-1_truncated.jpg`: unique by its place, safe whatever the key and the headers hold."""
    partition, offset = letter.place
    words = [_safe(letter.source_id), _safe(letter.error_class)]
    return "_".join([f"{partition}-{offset}", *(word for word in words if word)]) + suffix


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text)[:MAX_NAME_CHARS].strip(".-")
