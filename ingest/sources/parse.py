"""What `--source S` means: parsed and checked before anything is started.

rtsp:// rtsps:// http:// https://   a stream or a snapshot that is polled     live
usb:0                               a local camera                            live
sim:coffee sim:mix?size=640x480     a simulated camera over real photos       live
clip.mp4                            a video file, at its own pace             finite
photos/ photo.jpg                   images, each file's bytes as they are     finite

Live sources lose the oldest frame when they must; finite ones wait and lose nothing.
"""

import os
import re
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from ingest.sources import sim
from ingest.sources.redact import redact_url
from schemas.errors import ConfigError
from schemas.records import Encoding

URL_SCHEMES = ("rtsp", "rtsps", "http", "https")


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


VIDEO_SUFFIXES = _suffixes("mp4 m4v mov mkv webm avi mpg mpeg ts flv wmv mjpeg mjpg")
HTTP_FILE_SUFFIXES = _suffixes("mp4 m4v mov mkv webm avi")
IMAGE_SUFFIXES = _suffixes("jpg jpeg jpe jfif png webp gif bmp tif tiff avif heic heif jp2 j2k ppm tga")
# Left out of folders; whatever else lies there is sent, and what it really is shows downstream.
OTHER_SUFFIXES = VIDEO_SUFFIXES | _suffixes(
    "csv tsv txt md rst json jsonl ndjson xml html htm yaml yml toml ini cfg log pdf doc docx xls xlsx py sh js css "
    "zip tar gz bz2 xz 7z parquet avro npy npz pkl h5 pt onnx db sqlite wav mp3"
)
MAGIC = (
    (b"\xff\xd8\xff", Encoding.JPEG),
    (b"\x89PNG\r\n\x1a\n", Encoding.PNG),
)
OTHER_MAGIC = (b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
SIM_SIZE = re.compile(r"^(\d{2,4})x(\d{2,4})$")


class Kind(StrEnum):
    STREAM = "stream"  # FFmpeg, by RTSP
    HTTP = "http"  # FFmpeg or a polled snapshot: the first answer's content type decides
    VIDEO = "video"
    IMAGES = "images"
    USB = "usb"
    SIM = "sim"


@dataclass(frozen=True, slots=True)
class Source:
    """`address` may hold credentials and goes to the capture process alone; `shown` is for people and records."""

    kind: Kind
    address: str
    shown: str

    @property
    def live(self) -> bool:
        """Whether the present matters more than completeness."""
        return self.kind not in (Kind.VIDEO, Kind.IMAGES)


@dataclass(frozen=True, slots=True)
class Folder:
    """`images`: what is sent, in order. By relative path: `others`, no images by name; `closed`, cannot be entered."""

    images: list[Path]
    others: list[str]
    closed: list[str]


def parse_source(text: str) -> Source:
    """The source that `text` names. Raises ConfigError: one sentence that says what was expected."""
    scheme, colon, rest = text.partition(":")
    if not text.strip():
        raise ConfigError("a source is empty: give rtsp://..., http://..., a file, a folder, usb:0 or sim:NAME")
    if colon and scheme == "sim":
        parse_sim(rest)
        return Source(Kind.SIM, rest, text)
    if colon and scheme == "usb":
        if not rest.isdigit():
            raise ConfigError(f"source {text}: a local camera is usb: and its number, as in usb:0")
        return Source(Kind.USB, rest, text)
    if rest.startswith("//"):
        return _parse_url(scheme.lower(), text)
    return _parse_path(text)


def _parse_url(scheme: str, text: str) -> Source:
    shown = utf8_name(redact_url(text))
    if scheme not in URL_SCHEMES:
        raise ConfigError(f"source {shown}: {scheme}:// is not supported, only {', '.join(URL_SCHEMES)}")
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError where it is no number
    except ValueError:
        raise ConfigError(
            f"source {shown}: the port is no number; a '/', '@' or ':' in a password is written %2F, %40, %3A"
        ) from None
    if not parts.hostname:
        raise ConfigError(f"source {shown}: there is no host in it")
    if scheme.startswith("rtsp"):
        return Source(Kind.STREAM, text, shown)
    is_file = Path(parts.path).suffix.lower() in HTTP_FILE_SUFFIXES
    return Source(Kind.VIDEO if is_file else Kind.HTTP, text, shown)


def _parse_path(text: str) -> Source:
    path = Path(text).expanduser()
    if not path.exists():
        raise ConfigError(f"source {text}: no such file or folder")
    if not os.access(path, os.R_OK):
        raise ConfigError(f"source {text}: it cannot be read, its permissions forbid it")
    if path.is_dir():
        if not image_files(path):
            raise ConfigError(f"source {text}: the folder has no image files in it")
        return Source(Kind.IMAGES, str(path), utf8_name(text))
    if not path.is_file():
        raise ConfigError(f"source {text}: neither a file nor a folder")
    if _is_image(path):
        return Source(Kind.IMAGES, str(path), utf8_name(text))
    return Source(Kind.VIDEO, str(path), utf8_name(text))


def _is_image(path: Path) -> bool:
    """By its first bytes, and by its name where those say nothing (a broken image is still to be sent)."""
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return False
    with path.open("rb") as file:
        head = file.read(16)
    return suffix in IMAGE_SUFFIXES or encoding_of(head) != Encoding.OTHER or head.startswith(OTHER_MAGIC)


def image_files(path: Path) -> list[Path]:
    """The files of a folder by relative path, or the file itself; hidden ones and `OTHER_SUFFIXES` are left out."""
    return contents(path).images


def contents(path: Path) -> Folder:
    """What lies in a folder, and in what is linked there, once; a file is all that lies in it. Hidden names do not."""
    if path.is_file():
        return Folder([path], [], [])
    files, closed = _visible(path)
    others = [file for file in files if file.suffix.lower() in OTHER_SUFFIXES]
    return Folder(sorted(set(files).difference(others)), _named(others, path), _named(closed, path))


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
        if (here.st_dev, here.st_ino) in entered:  # by another way, or by a link to a folder around it
            folders.clear()
            continue
        entered.add((here.st_dev, here.st_ino))
        # The order decides by which way a folder is entered: the same on every run, and by a link last.
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
        return True  # refused by its name when its turn comes
    except OSError:
        return False  # a link to nothing


def utf8_name(name: str) -> str:
    """A name from the file system as text that every encoder takes: its bytes need not be UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def encoding_of(data: bytes) -> Encoding:
    """What the first bytes say the image is; names and content types lie."""
    for magic, encoding in MAGIC:
        if data.startswith(magic):
            return encoding
    return Encoding.WEBP if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else Encoding.OTHER


def parse_sim(text: str) -> sim.SimSpec:
    """`NAME?size=640x480&seed=0`."""
    name, _, query = text.partition("?")
    if name not in sim.names():
        raise ConfigError(f"source sim:{name}: no such simulated camera; there are {', '.join(sim.names())}")
    options = dict(parse_qsl(query, keep_blank_values=True))
    size = SIM_SIZE.match(options.pop("size", "640x480"))
    seed = options.pop("seed", "0")
    if options or not size or not seed.isdigit():
        raise ConfigError(
            f"source sim:{text}: options are size=640x480 and seed=0, as in sim:{name}?size=640x480&seed=7"
        )
    return sim.SimSpec(name, int(size[1]), int(size[2]), int(seed))


def default_id(source: Source) -> str:
    """A source id from the address: `coffee`, `bottle-detection`, `10.0.0.7-stream1`; never anything secret."""
    if source.kind == Kind.SIM:
        text = "sim-" + source.address.partition("?")[0]
    elif source.kind == Kind.USB:
        text = f"usb-{source.address}"
    elif "://" in source.shown:
        parts = urlsplit(source.shown)
        text = f"{parts.hostname}{'-' + str(parts.port) if parts.port else ''}{parts.path}"
    else:
        text = Path(source.address).resolve().stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "camera"
