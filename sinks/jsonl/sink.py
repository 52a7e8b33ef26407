"""The sink that stores labels as JSON lines in a folder. A label is there exactly once, whenever a process is killed.

A flush appends to the unclosed file of each hour and waits for the disk. Then it replaces the manifest, which records
the length of each unclosed file and the next offset of each partition. That replacement is the commit point: before it
nothing of the flush counts, after it both labels and positions are stored. Kafka's committed offsets follow later.
After a crash `setup` truncates the unclosed files to the lengths in the manifest and closes them, and reading continues
at the positions in the manifest.

"Exactly once" holds for one folder. Two sinks of the group have one folder each, and a partition moves between them by
Kafka's committed offset. If a sink is killed between its commit point and its commit to Kafka, its folder has these
labels, and the other sink gets them again.
"""

import errno
import os
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from infra.process import logs
from infra.settings import JsonlSettings
from schemas.coordinates import TopicPartition
from schemas.errors import Busy, ConfigError, SinkError
from schemas.label_json import json_line
from sinks.base.contract import Row
from sinks.jsonl import manifest as manifests
from sinks.jsonl import recovery
from sinks.jsonl.disk import Disk
from sinks.jsonl.layout import MANIFEST, PART_SUFFIX, STATE_FOLDER, file_name, hour_folder
from sinks.jsonl.manifest import Manifest, OpenFile

log = logs.get(__name__)

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
ROOM_AGAIN_S = 5.0


@dataclass(slots=True)
class _Part:
    """The unclosed file of one hour: its final path relative to the folder, and how many bytes are flushed."""

    path: str
    length_bytes: int
    opened_s: float
    written_s: float


class JsonlSink:
    """See the module's docstring. `clock` returns seconds, for the age of files."""

    name = "jsonl"

    def __init__(
        self,
        folder: Path,
        settings: JsonlSettings,
        *,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder.absolute()
        self._settings, self._disk, self._clock = settings, disk or Disk(), clock
        self.lock: int | None = None
        self._manifest = Manifest("", "")
        self._parts: dict[str, _Part] = {}
        self._added: dict[str, list[str]] = {}

    # -- the contract

    def setup(self, log_id: str) -> None:
        """Lock and repair the folder. Raises ConfigError when another sink writes to it, or when it cannot be used."""
        try:
            self._disk.make_folder(self._folder / STATE_FOLDER)
            if self.lock is None:
                self.lock = recovery.take_lock(self._folder)
            found = recovery.read_manifest(self._folder) or Manifest(log_id, secrets.token_hex(2))
            recovery.close_files(self._folder, found, self._disk)
            recovery.remove_strays(self._folder, self._disk)
            if found.log_id != log_id:
                log.warning("the labels topic was replaced: the stored positions are dropped", folder=self._text)
                found = replace(found, log_id=log_id, positions={})
        except OSError as error:
            if error.errno in NO_ROOM:
                raise self._no_room(error) from error
            raise ConfigError(f"{self._text} cannot be used: {error.strerror} ({error.filename})") from error
        self._parts.clear()
        self._added.clear()
        self._replace_manifest(replace(found, files={}))

    def positions(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        found = self._manifest.positions
        return {partition: found[partition] for partition in partitions if partition in found}

    def add(self, row: Row) -> None:
        line = json_line(row.label, row.at.topic, row.at.partition, row.at.offset)
        self._added.setdefault(hour_folder(row.label.captured_at), []).append(line)

    def flush(self, positions: Mapping[TopicPartition, int]) -> None:
        now_s = self._clock()
        # Closing files comes first: it may raise Busy, and then nothing of the attempt is stored.
        self._close_files(self._due(now_s))
        if self._added or not positions.items() <= self._manifest.positions.items():
            self._store(positions, now_s)

    def discard(self) -> None:
        self._added.clear()

    def close(self) -> None:
        """Close every file, so that the folder of a stopped sink has complete files only."""
        self.discard()
        try:
            self._close_files(list(self._parts))
        finally:
            if self.lock is not None:
                os.close(self.lock)
                self.lock = None

    # -- a flush

    def _store(self, positions: Mapping[TopicPartition, int], now_s: float) -> None:
        """Write the added labels, up to the commit point. When the disk is full, nothing changes and Busy is raised."""
        written, number = self._append(now_s)
        parts = {**self._parts, **written}
        self._replace_manifest(
            replace(
                self._manifest,
                next_number=number,
                positions={**self._manifest.positions, **positions},
                files={part.path: OpenFile(part.length_bytes) for part in parts.values()},
            ),
            undo=lambda: self._undo(written),
        )
        self._parts = parts
        self._added.clear()

    def _append(self, now_s: float) -> tuple[dict[str, _Part], int]:
        """Append the added labels to the files of their hours. Returns the files and the number of the next new one."""
        number, written = self._manifest.next_number, dict[str, _Part]()
        for hour, lines in self._added.items():
            data = ("\n".join(lines) + "\n").encode()
            part = self._parts.get(hour)
            if part is None:
                part = _Part(f"{hour}/{file_name(self._manifest.token, number)}", 0, now_s, now_s)
                number += 1
            written[hour] = replace(part, length_bytes=part.length_bytes + len(data), written_s=now_s)
            try:
                self._disk.make_folder(self._folder / hour)
                self._disk.append(self._part_path(part.path), data)
            except OSError as error:
                self._undo(written)
                raise self._failed(error) from error
        return written, number

    def _undo(self, written: Mapping[str, _Part]) -> None:
        """Truncate the files of a failed attempt to the length that was flushed before it."""
        try:
            for hour, part in written.items():
                before = self._parts.get(hour)
                if before is not None:
                    self._disk.truncate(self._part_path(before.path), before.length_bytes)
                else:
                    self._disk.remove(self._part_path(part.path))
        except OSError as error:
            raise self._broken(error) from error

    def _due(self, now_s: float) -> list[str]:
        """The hours whose file is to be closed: too large, too old, or the least recently written of too many."""
        limits = self._settings
        due = [
            hour
            for hour, part in self._parts.items()
            if part.length_bytes >= limits.max_file_bytes or now_s - part.opened_s >= limits.max_file_age_s
        ]
        rest = sorted(self._parts.keys() - set(due), key=lambda hour: self._parts[hour].written_s, reverse=True)
        return due + rest[limits.max_open_files :]

    def _close_files(self, hours: Collection[str]) -> None:
        """Give files their final names. When the disk is full, nothing changes and Busy is raised.

        The next flush removes the files from the manifest; until then the manifest marks them as closing.
        """
        if not hours:
            return
        closing = {self._parts[hour].path for hour in hours}
        files = {
            path: replace(one, is_closing=one.is_closing or path in closing)
            for path, one in self._manifest.files.items()
        }
        self._replace_manifest(replace(self._manifest, files=files))
        try:
            for path in sorted(closing):
                self._disk.rename(self._part_path(path), self._folder / path)
        except OSError as error:
            raise self._broken(error) from error
        for hour in hours:
            del self._parts[hour]

    def _replace_manifest(self, manifest: Manifest, undo: Callable[[], None] = lambda: None) -> None:
        """The commit point. When the disk is full, `undo` is called and Busy is raised."""
        path = self._folder / MANIFEST
        temporary = path.with_name(path.name + ".tmp")
        try:
            self._disk.write_new(temporary, manifests.to_bytes(manifest))
        except OSError as error:
            undo()
            raise self._failed(error) from error
        try:
            self._disk.rename(temporary, path)
        except OSError as error:  # after a crash either manifest may be there
            raise self._broken(error) from error
        self._manifest = manifest

    # -- helpers

    @property
    def _text(self) -> str:
        return str(self._folder)

    def _part_path(self, path: str) -> Path:
        return self._folder / (path + PART_SUFFIX)

    def _failed(self, error: OSError) -> Busy | SinkError:
        return self._no_room(error) if error.errno in NO_ROOM else self._broken(error)

    def _no_room(self, error: OSError) -> Busy:
        return Busy(ROOM_AGAIN_S, f"{self._text} has no room: {error.strerror}")

    def _broken(self, error: OSError) -> SinkError:
        reason = error.strerror or error
        return SinkError(f"{self._text} cannot be written to: {reason}; labels that were not flushed are not committed")
