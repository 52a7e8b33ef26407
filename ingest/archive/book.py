"""The manifests of an archive as one book: what is archived, where each partition goes on, what is too old.

The manifest of a day is replaced as a whole when a file has been read back, and only then the file counts. Positions
are not stored anywhere else: a partition goes on behind the last offset that its files and gaps name.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace

from ingest.archive.layout import ARCHIVE, LOCK, file_path, is_file_of_ours, manifest_day, manifest_path
from ingest.archive.manifest import (
    ArchivedFile,
    DayManifest,
    Gap,
    Head,
    head_bytes,
    manifest_bytes,
    read_head,
    read_manifest,
)
from ingest.archive.store import Store
from schemas.errors import ArchiveError


class Book:
    """What the archive of one topic holds. Reading it takes one request for each day."""

    def __init__(self, store: Store, head: Head, days: dict[str, DayManifest]) -> None:
        self.store, self.head, self._days = store, head, days

    @staticmethod
    def load(store: Store) -> "Book":
        """Raises ArchiveError when there is no archive, or a manifest is not what was written."""
        found = find_head(store)
        if found is None:
            raise ArchiveError(f"{store.url} holds no archive: there is no {ARCHIVE}")
        days = {}
        for path in store.files(found.topic):
            day = manifest_day(found.topic, path)
            if day is not None:
                days[day] = read_manifest(store.read(path), store.named(path))
        if lacking := set(found.days) - set(days):
            # A run that removes by age lets the head go first, so a day that is still named there was not removed.
            lacking &= set((find_head(store) or found).days)
        for day in sorted(lacking):
            name = store.named(manifest_path(found.topic, day))
            raise ArchiveError(f"{name} is missing, although {ARCHIVE} names it: the files of that day are unknown")
        return Book(store, found, days)

    @property
    def topic(self) -> str:
        return self.head.topic

    def files(self) -> list[ArchivedFile]:
        """By partition and offset."""
        found = [file for day in self._days.values() for file in day.files]
        return sorted(found, key=lambda file: (file.partition, file.from_offset))

    def gaps(self) -> list[Gap]:
        found = [gap for day in self._days.values() for gap in day.gaps]
        return sorted(found, key=lambda gap: (gap.partition, gap.from_offset))

    def next_offset(self, partition: int) -> int | None:
        """Where the partition goes on; None when nothing of it is archived."""
        return self.next_offsets().get(partition)

    def next_offsets(self) -> dict[int, int]:
        """The same for every partition of which something is archived."""
        found = dict(self.head.passed)
        for day in self._days.values():
            for file in day.files:
                found[file.partition] = max(found.get(file.partition, 0), file.to_offset)
            for gap in day.gaps:
                found[gap.partition] = max(found.get(gap.partition, 0), gap.to_offset)
        return found


class BookWriter(Book):
    """The book of the one run that writes to this archive.

    On this machine a lock keeps a second run out. Elsewhere a second run takes over, and the first one ends.
    """

    @staticmethod
    def open(store: Store, topic: str, log_id: str, only: str | None) -> "BookWriter":
        """Begin or go on. Raises ArchiveError for the archive of another topic, or of other frames."""
        lock = _take_lock(store)
        head = find_head(store)
        if head is None:
            if store.files(topic):
                raise ArchiveError(f"{store.named(ARCHIVE)} is missing, although there are files of {topic} beside it")
            head = Head(topic, log_id, only)
        _require_same(store, head, Head(topic, log_id, only))
        head = replace(head, writer=secrets.token_hex(8))
        store.write_bytes(ARCHIVE, head_bytes(head))
        book = Book.load(store)
        return BookWriter(store, head, book._days, lock)

    def __init__(self, store: Store, head: Head, days: dict[str, DayManifest], lock: int | None) -> None:
        super().__init__(store, head, days)
        self._lock = lock

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def strays(self) -> Iterator[str]:
        """Files that no manifest names: a run was ended before they counted."""
        known = {f"{self.topic}/{file.path}" for file in self.files()}
        return (
            path for path in self.store.files(self.topic) if is_file_of_ours(self.topic, path) and path not in known
        )

    def add_file(self, day: str, file: ArchivedFile) -> None:
        """The file counts from here on."""
        self._replace(self._day(day).with_file(file))

    def add_gap(self, day: str, gap: Gap) -> None:
        self._replace(self._day(day).with_gap(gap))

    def remove_older(self, before_ms: int) -> list[ArchivedFile]:
        """Remove files of which every record, and gaps of which the finding, is older. Returns those files.

        First the offsets are noted as passed, then the manifests let go, then the files: a run that is killed in
        between leaves a stray and nothing else.
        """
        old = [file for file in self.files() if file.greatest_ms < before_ms]
        if not old and not any(gap.found_at_ms < before_ms for gap in self.gaps()):
            return []
        kept = {day: manifest.without_older(before_ms) for day, manifest in self._days.items()}
        days = tuple(sorted(day for day, manifest in kept.items() if manifest.files or manifest.gaps))
        self._require_own()
        self._write_head(replace(self.head, passed=self.next_offsets(), days=days))
        for day, manifest in kept.items():
            if day not in days:
                self.store.remove(manifest_path(self.topic, day))
                del self._days[day]
            elif manifest != self._days[day]:
                self._replace(manifest)
        for file in old:
            self.store.remove(f"{self.topic}/{file.path}")
        return old

    def path_for(self, partition: int, from_offset: int, to_offset: int, timestamp_ms: int) -> str:
        return f"{self.topic}/{file_path(partition, from_offset, to_offset, timestamp_ms)}"

    def _day(self, day: str) -> DayManifest:
        return self._days.get(day) or DayManifest(self.topic, day)

    def _replace(self, manifest: DayManifest) -> None:
        self._require_own()
        self.store.write_bytes(manifest_path(self.topic, manifest.day), manifest_bytes(manifest))
        self._days[manifest.day] = manifest
        if manifest.day not in self.head.days:
            # After the manifest: a run that is killed in between leaves one that is not named, and that counts as well.
            self._write_head(replace(self.head, days=tuple(sorted(self._days))))

    def _write_head(self, head: Head) -> None:
        self.store.write_bytes(ARCHIVE, head_bytes(head))
        self.head = head

    def _require_own(self) -> None:
        found = find_head(self.store)
        if found is None or found.writer != self.head.writer:
            raise ArchiveError(f"another `archive run` has begun to write to {self.store.url}: this one ends")


def find_head(store: Store) -> Head | None:
    """The head of the archive; None where there is none."""
    try:
        return read_head(store.read(ARCHIVE), store.named(ARCHIVE))
    except FileNotFoundError:
        return None


def _require_same(store: Store, found: Head, wanted: Head) -> None:
    if found.topic != wanted.topic:
        raise ArchiveError(f"{store.url} is the archive of {found.topic}: give {wanted.topic} one of its own")
    if found.log_id != wanted.log_id:
        raise ArchiveError(
            f"{found.topic} was deleted and made again since {store.url} was begun, so its offsets mean other frames: "
            "give the new topic an archive of its own"
        )
    if found.only != wanted.only:
        raise ArchiveError(
            f"{store.url} keeps {found.only or 'every frame'} and cannot go on with {wanted.only or 'every frame'}: "
            "give them an archive each"
        )


def _take_lock(store: Store) -> int | None:
    if store.folder is None:
        return None
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(store.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ArchiveError(f"{store.url} cannot be written to: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ArchiveError(f"another `archive run` writes to {store.url}: give each an archive of its own") from None
    return descriptor
