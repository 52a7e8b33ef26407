"""The calls that make bytes durable, in one place: tests count them, and fail each of them in turn."""

import os
from pathlib import Path


class Disk:
    """Every method is durable when it returns, against a crash of the machine as well. Raises OSError."""

    def append(self, path: Path, data: bytes) -> None:
        """Write behind what the file holds (it is made when missing), and wait until the disk has it."""
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
        """The file holds `data` and nothing else, whatever it held before."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            self.write(descriptor, data)
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Within one folder, in one step: a reader, and the next start after a crash, find either name."""
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
        """Nothing happens when it is not there."""
        if path.exists():
            path.unlink()
            self.sync_folder(path.parent)

    def make_folder(self, path: Path) -> None:
        """With all that are missing above it."""
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
        """The names in a folder are data of the folder."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)
