"""Prepares a folder before a sink writes to it: lock it, and finish or undo what a crash left."""

import fcntl
import os
from pathlib import Path

from infra.process import logs
from schemas.errors import ConfigError
from sinks.jsonl import manifest as manifests
from sinks.jsonl.disk import Disk
from sinks.jsonl.layout import LOCK, MANIFEST, PART_GLOB, PART_SUFFIX
from sinks.jsonl.manifest import Manifest

log = logs.get(__name__)


def take_lock(folder: Path) -> int:
    """Lock the folder. Returns the descriptor of the lock, which the kernel releases however the process ends.

    Raises ConfigError while another sink writes to the folder.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(f"another sink writes to {folder}: give each sink a folder of its own") from None
    return descriptor


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of the folder; None when no sink has written to the folder."""
    path = folder / MANIFEST
    try:
        return manifests.from_bytes(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None


def close_files(folder: Path, found: Manifest, disk: Disk) -> None:
    """Truncate the unclosed files to their flushed length and give them their final names. Can be repeated.

    Raises ConfigError when a file lacks bytes that were flushed.
    """
    for path, file in found.files.items():
        part, final = folder / (path + PART_SUFFIX), folder / path
        size_bytes = part.stat().st_size if part.exists() else -1
        if size_bytes >= file.length_bytes:
            disk.truncate(part, file.length_bytes)
            disk.rename(part, final)
        elif size_bytes < 0 and (final.exists() or file.is_closing):
            if not final.exists():  # a closed file may be moved away
                log.warning("a file was moved away before the sink had closed it", file=str(final))
        else:
            raise ConfigError(
                f"{part} has {max(0, size_bytes)} bytes, but {file.length_bytes} were flushed: it was changed or "
                f"removed. Restore it, or give the sink a new folder"
            )


def remove_strays(folder: Path, disk: Disk) -> None:
    """Remove the files of flushes that did not reach their commit point. Call only after `close_files`."""
    for part in folder.glob(PART_GLOB):
        disk.remove(part)
