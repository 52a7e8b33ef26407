"""The manifest of a folder: which labels it holds for certain, and in which files. One small JSON file, replaced whole.

The manifest is the commit point of a flush. What an unclosed file holds behind the length that the manifest tells does
not count, and neither does an unclosed file that the manifest does not name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.coordinates import TopicPartition
from schemas.errors import ConfigError

VERSION = 1


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An unclosed file: how many bytes of it count. `is_closing`: it is being renamed, or was just renamed."""

    length_bytes: int
    is_closing: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """`positions`: per partition, the next offset that the folder lacks. `files`: unclosed ones, by their final path.

    `next_number` is that of the next new file. `log_id` says which topic of which cluster the positions are of.
    """

    log_id: str
    token: str
    next_number: int = 0
    positions: Mapping[TopicPartition, int] = field(default_factory=dict)
    files: Mapping[str, OpenFile] = field(default_factory=dict)


def to_bytes(manifest: Manifest) -> bytes:
    fields = {
        "version": VERSION,
        "log_id": manifest.log_id,
        "token": manifest.token,
        "next_number": manifest.next_number,
        "positions": [[*partition, offset] for partition, offset in sorted(manifest.positions.items())],
        "files": [[path, one.length_bytes, one.is_closing] for path, one in sorted(manifest.files.items())],
    }
    return json.dumps(fields, indent=1).encode() + b"\n"


def from_bytes(data: bytes, where: str) -> Manifest:
    """Raises ConfigError for anything that this version did not write: a guess would lose or double labels."""
    try:
        fields: dict[str, Any] = json.loads(data)
        if fields["version"] != VERSION:
            raise ConfigError(f"{where} is of version {fields['version']}, this Sightline knows version {VERSION}")
        return Manifest(
            log_id=fields["log_id"],
            token=fields["token"],
            next_number=int(fields["next_number"]),
            positions={TopicPartition(topic, int(one)): int(offset) for topic, one, offset in fields["positions"]},
            files={path: OpenFile(int(length), bool(closing)) for path, length, closing in fields["files"]},
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{where} cannot be read ({error}): restore it, or let the sink write a new folder"
        ) from error
