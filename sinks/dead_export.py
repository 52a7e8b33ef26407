"""Dead letters as files: images as they are, anything else as raw bytes, and a manifest beside them."""

import json
import re
from pathlib import Path
from typing import Any

from infra.dead_letters import DeadLetter
from schemas import codec
from schemas.codec import Registry
from schemas.errors import BadFrame, ConfigError
from schemas.records import Encoding, Frame
from sinks.dead_text import letter_fields

MANIFEST = "manifest.jsonl"
MAX_NAME_CHARS = 60
_SUFFIXES = {Encoding.JPEG: ".jpg", Encoding.PNG: ".png", Encoding.WEBP: ".webp", Encoding.OTHER: ".img"}


class Export:
    """Writes into a folder that has no export yet; what exists is never written to, and no link followed."""

    def __init__(self, folder: Path, registry: Registry | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._registry = folder, registry
        try:
            self._manifest = (folder / MANIFEST).open("x")
        except FileExistsError:
            raise ConfigError(f"{folder} holds an export already ({MANIFEST}): name another folder") from None
        self.written = 0

    def __enter__(self) -> "Export":
        return self

    def __exit__(self, *_: object) -> None:
        self._manifest.close()

    def write(self, letter: DeadLetter) -> dict[str, Any]:
        """One file and its line in the manifest. Raises ConfigError when a file of that name is there."""
        data, suffix = content(letter.value, self._registry)
        name = file_name(letter, suffix)
        try:
            with (self._folder / name).open("xb") as file:
                file.write(data)
        except FileExistsError:
            raise ConfigError(f"{self._folder / name} exists: name another folder") from None
        line = {"file": name, **letter_fields(letter, redriven=False)}
        del line["redriven"]
        self._manifest.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.written += 1
        return line


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
