"""How far the frames of a spool have come, in one small file that is replaced as a whole."""

import json
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

NAME = "progress"
_MAX_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    """When it was written, `next_number` was that of the next record; of a source in `oldest` the records from that
    number on were needed, of every other source none. All records from `next_number` on are needed.
    """

    next_number: int = 0
    oldest: dict[str, int] = field(default_factory=dict)

    def needs(self, source_id: str, number: int) -> bool:
        return number >= self.oldest.get(source_id, self.next_number)


def write_progress(folder: Path, progress: Progress) -> None:
    """Raises OSError; the file is then what it was."""
    text = json.dumps([progress.next_number, progress.oldest], separators=(",", ":")).encode()
    new = folder / f"{NAME}.new"
    with new.open("wb") as file:
        file.write(b"%08x " % zlib.crc32(text) + text)
        file.flush()
        os.fdatasync(file.fileno())
    new.replace(folder / NAME)


def read_progress(folder: Path) -> Progress | None:
    """None when there is no sound file. Every record is then needed: a frame is rather sent twice than lost."""
    try:
        with (folder / NAME).open("rb") as file:
            found = file.read(_MAX_BYTES)
        crc, _, text = found.partition(b" ")
        if zlib.crc32(text) != int(crc, 16):
            return None
        next_number, oldest = json.loads(text)
        return Progress(next_number, oldest)
    except (FileNotFoundError, ValueError):
        return None
