"""The manifest of a folder: which labels are flushed, and to which files. A small JSON file, replaced as a whole.

Replacing the manifest is the commit point of a flush. Bytes of an unclosed file after the length in the manifest are
not flushed, and an unclosed file that the manifest does not name is not flushed.
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
    """An unclosed file. `length_bytes`: how much of it is flushed. `is_closing`: its rename has started or is done."""

    length_bytes: int
    is_closing: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """`positions`: per partition, the next offset that the folder needs. `files`: unclosed files by their final path.

    `next_number`: the number of the next new file. `log_id`: the cluster and topic to which the positions belong.
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
    """Raises ConfigError for content that this version did not write, because a guess could lose or repeat labels."""
    try:
        fields: dict[str, Any] = json.loads(data)
        if fields["version"] != VERSION:
            raise ConfigError(f"{where} has version {fields['version']}, but this Sightline reads version {VERSION}")
        return Manifest(
            log_id=fields["log_id"],
            token=fields["token"],
            next_number=int(fields["next_number"]),
            positions={TopicPartition(topic, int(one)): int(offset) for topic, one, offset in fields["positions"]},
            files={path: OpenFile(int(length), bool(closing)) for path, length, closing in fields["files"]},
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{where} cannot be read ({error}): restore it, or give the sink a new folder") from error
