"""Files and folders as sources: which files of a folder are sent, and what a file is by its name and first bytes."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from schemas.records import Encoding


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


VIDEO_SUFFIXES = _suffixes("mp4 m4v mov mkv webm avi mpg mpeg ts flv wmv mjpeg mjpg")
IMAGE_SUFFIXES = _suffixes("jpg jpeg jpe jfif png webp gif bmp tif tiff avif heic heif jp2 j2k ppm tga")
# Left out of folders. Every other file is sent, and the stream stage finds out what it is.
OTHER_SUFFIXES = VIDEO_SUFFIXES | _suffixes(
    "csv tsv txt md rst json jsonl ndjson xml html htm yaml yml toml ini cfg log pdf doc docx xls xlsx py sh js css "
    "zip tar gz bz2 xz 7z parquet avro npy npz pkl h5 pt onnx db sqlite wav mp3"
)
NAMED = 5
MAGIC = (
    (b"\xff\xd8\xff", Encoding.JPEG),
    (b"\x89PNG\r\n\x1a\n", Encoding.PNG),
)
OTHER_MAGIC = (b"GIF8", b"BM", b"II*\x00", b"MM\x00*")


@dataclass(frozen=True, slots=True)
class FolderContents:
    """`images` are the files that are sent, in order. The others are relative paths.

    `others`: files that are no images by their names. `closed`: folders that cannot be entered.
    """

    images: list[Path]
    others: list[str]
    closed: list[str]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Files or folders inside a source that are not sent: how many, and what the first of them are called."""

    count: int = 0
    such_as: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: list[str]) -> "LeftOut":
        return cls(len(names), tuple(names[:NAMED]))


NOTHING_LEFT_OUT = LeftOut()


def image_files(path: Path) -> list[Path]:
    """The files of a folder by relative path, or the file itself; without hidden ones and `OTHER_SUFFIXES`."""
    return folder_contents(path).images


def folder_contents(path: Path) -> FolderContents:
    """What is in a folder and in the folders inside it, links followed, each folder once. Hidden names are left out.

    Of a file: the file itself.
    """
    if path.is_file():
        return FolderContents([path], [], [])
    files, closed = _visible(path)
    others = [file for file in files if file.suffix.lower() in OTHER_SUFFIXES]
    return FolderContents(sorted(set(files).difference(others)), _named(others, path), _named(closed, path))


def is_image(path: Path) -> bool:
    """Whether a file is sent as an image: by its first bytes, or by its name where those say nothing.

    So a broken image with an image's name is sent as well; the stream stage counts it.
    """
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return False
    with path.open("rb") as file:
        head = file.read(16)
    return suffix in IMAGE_SUFFIXES or encoding_of(head) != Encoding.OTHER or head.startswith(OTHER_MAGIC)


def encoding_of(data: bytes) -> Encoding:
    """How an image is encoded, by its first bytes: file names and content types are often wrong."""
    for magic, encoding in MAGIC:
        if data.startswith(magic):
            return encoding
    return Encoding.WEBP if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else Encoding.OTHER


def utf8_name(name: str) -> str:
    """A name from the file system, whose bytes need not be UTF-8, as text that can be encoded."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _named(paths: list[Path], folder: Path) -> list[str]:
    return sorted(utf8_name(str(path.relative_to(folder))) for path in paths)


def _visible(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files, and folders that cannot be entered."""
    files: list[Path] = []
    errors: list[OSError] = []
    entered: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, onerror=errors.append, followlinks=True):
        inside = Path(place)
        here = inside.stat()
        if (here.st_dev, here.st_ino) in entered:  # reached by another path before, or a link to a parent folder
            folders.clear()
            continue
        entered.add((here.st_dev, here.st_ino))
        # The order decides by which path a folder is entered: the same on every run, and links last.
        folders[:] = sorted(
            (name for name in folders if not name.startswith(".")),
            key=lambda name: ((inside / name).is_symlink(), name),
        )
        files += [inside / name for name in names if not name.startswith(".") and _is_file(inside / name)]
    return files, [Path(error.filename) for error in errors]


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except PermissionError:
        return True  # the reader refuses it by name when it comes to it
    except OSError:
        return False  # a link to nothing
