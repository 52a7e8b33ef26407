"""The calls that make bytes durable. They are in one class so that tests can count them and make each of them fail."""

import os
from pathlib import Path


class Disk:
    """The effect of every method survives a crash of the machine after it has returned. Raises OSError."""

    def append(self, path: Path, data: bytes) -> None:
        """Append to the file, which is created if needed, and wait until the data is on the disk."""
        is_new = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self.write(descriptor, data)
            self.sync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            self.sync_folder(path.parent)

    def write_new(self, path: Path, data: bytes) -> None:
        """Replace the content of the file with `data`. Not atomic."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            self.write(descriptor, data)
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Rename within one folder, atomically: a reader, or a start after a crash, finds one of the two names."""
        old.replace(new)
        self.sync_folder(new.parent)

    def truncate(self, path: Path, size_bytes: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, size_bytes)
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove the file if it exists."""
        if path.exists():
            path.unlink()
            self.sync_folder(path.parent)

    def make_folder(self, path: Path) -> None:
        """Create the folder and its missing parents."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        path.mkdir(exist_ok=True)
        self.sync_folder(path.parent)

    def write(self, descriptor: int, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable: they are data of the folder and not of its files."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)
