"""The storage of an archive: a folder, or a bucket that fsspec reaches. Every write is there as a whole or not at all.

On a disk a file is written under another name, flushed to the disk and renamed. An object store shows an object only
once all of it has arrived.
"""

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import ArchiveError, ConfigError, NoRoom

PART_SUFFIX = ".part"
FULL = (errno.ENOSPC, errno.EDQUOT)


class Store:
    """Paths are relative to the URL. Raises ArchiveError with the file's name. `bytes_read` counts what was fetched."""

    def __init__(self, fs: Any, root: str, url: str) -> None:
        self._fs, self._root, self.url = fs, root.rstrip("/"), url.rstrip("/")
        self._local = isinstance(fs, LocalFileSystem)
        self.bytes_read = 0

    def named(self, path: str) -> str:
        """The file as people name it."""
        return f"{self.url}/{path}"

    @property
    def folder(self) -> Path | None:
        """The folder on this machine; None for an object store."""
        return Path(self._root) if self._local else None

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """The bytes from `start` to `end`, or all; fewer where the file ends before. Raises FileNotFoundError."""
        with self._told(path, "read"):
            found = bytes(self._fs.cat_file(self._at(path), start=start, end=end))
        self.bytes_read += len(found)
        return found

    def read_all(self, path: str) -> Callable[[int, int], memoryview]:
        """The whole file by one request; returns what gives its parts. Raises FileNotFoundError."""
        whole = memoryview(self.read(path))
        return lambda start, end: whole[start:end]

    def files(self, folder: str = "") -> list[str]:
        """Every file below the folder, sorted."""
        with self._told(folder, "listed"), suppress(FileNotFoundError):
            self._fs.invalidate_cache()
            return sorted(path.removeprefix(f"{self._root}/") for path in self._fs.find(self._at(folder)))
        return []

    def write(self, path: str, fill: Callable[[BinaryIO], None]) -> None:
        """Write the file with `fill`, and replace one of that name. After an error there is no file, or the former."""
        try:
            if self._local:
                _write_durably(Path(self._at(path)), fill)
            else:
                # Buffered whole: a file of fsspec that is closed after an error would store its half.
                buffer = io.BytesIO()
                fill(buffer)
                with self._told(path, "written"):
                    self._fs.pipe_file(self._at(path), buffer.getvalue())
        except OSError as error:
            raise self._failed(path, "written", error) from error

    def write_bytes(self, path: str, data: bytes) -> None:
        """The same with bytes that are at hand."""

        def fill(out: BinaryIO) -> None:
            out.write(data)

        self.write(path, fill)

    def remove(self, path: str) -> None:
        """Remove the file if it exists."""
        with self._told(path, "removed"), suppress(FileNotFoundError):
            self._fs.rm_file(self._at(path))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    @contextmanager
    def _told(self, path: str, done: str) -> Iterator[None]:
        """Raises ArchiveError for what goes wrong, and lets FileNotFoundError through."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            # The clients of object stores raise classes of their own, which have no common base.
            if self._local and not isinstance(error, OSError | ValueError):
                raise
            raise self._failed(path, done, error) from error

    def _failed(self, path: str, done: str, error: Exception) -> ArchiveError:
        number = error.errno if isinstance(error, OSError) else None
        if number in FULL:
            return NoRoom(f"{self.url} has no room: {os.strerror(number or 0)}; {path} was not written")
        reason = os.strerror(number) if number else str(error) or type(error).__name__
        return ArchiveError(f"{self.named(path)} cannot be {done}: {reason}")


def open_store(url: str) -> Store:
    """The storage at a path, or at a URL of fsspec: `file://`, `memory://`, `s3://` and others.

    Raises ConfigError where the package for such URLs is not installed, and ArchiveError where it cannot be used.
    """
    scheme, found, _ = url.partition("://")
    if not found:
        # Any name of a folder: fsspec would take `::` in it for a chain of URLs.
        return Store(LocalFileSystem(), str(Path(url).absolute()), url)
    try:
        fs, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ConfigError(
            f"{url}: {scheme}:// needs a package that is not installed ({error}). Install it beside Sightline"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{url} is not a path and not a URL that can be opened: {error}") from error
    return Store(fs, root, url)


def _write_durably(path: Path, fill: Callable[[BinaryIO], None]) -> None:
    part = path.with_name(path.name + PART_SUFFIX)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb", buffering=0) as out:
            fill(out)
            os.fsync(out.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    for folder in (path.parent, path.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
