"""What `--source S` means: parsed and checked before anything is started.

rtsp:// rtsps:// http:// https://   a stream, or a snapshot that is polled    live
usb:0 (or 0, usb0, /dev/video0)     a local camera                            live
sim:coffee sim:mix?size=640x480     a simulated camera over real photos       live
http://host/clip.mp4                a video with a length, at its own pace    finite, once its answer has told
clip.mp4                            a video file, at its own pace             finite
photos/ photo.jpg                   images, each file's bytes as they are     finite

When there is no room, a live source loses its oldest frame; a finite source waits and loses nothing.
"""

import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from ingest.sources import sim
from ingest.sources.files import NOTHING_LEFT_OUT, LeftOut, folder_contents, is_image, utf8_name
from ingest.sources.redact import has_hidden_host, redact_address
from schemas.errors import ConfigError

URL_SCHEMES = ("rtsp", "rtsps", "http", "https")
BEGINNINGS = tuple(f"{scheme}://" for scheme in URL_SCHEMES)
# A number alone, usb0, usb:0, usb://0, webcam0, /dev/video0, v4l2:///dev/video0
USB_CAMERA = re.compile(
    r"(?:(?:(?:usb|webcam|video)[:\s]?(?://)?)?|(?:(?:usb|v4l2?|file):(?://)?)?/dev/video)(\d{1,4})",
    re.IGNORECASE | re.ASCII,
)
UDEV_FOLDER = "/dev/v4l/"
QUOTES = "\"'`“”„‟«»‘’‚‛"
# joe:word@camera, rtsp:/camera, //camera/stream, www.host.example/snap, 10.0.0.7:554/stream, camera:554
LIKE_AN_ADDRESS = re.compile(
    r".*@|(?:rtsps?|https?)\b|//|[^/.][^/]*\.[^/]*[/:]|\[?[\w.:-]+\]?:\d+(?:/|$)", re.IGNORECASE | re.DOTALL
)
ESCAPES = "in a user name, password or path write / as %2F, # as %23, ? as %3F, @ as %40, : as %3A, [ as %5B"
MAX_ID_LETTERS = 150  # of an id that is made here
SIM_SIZE = re.compile(r"^(\d{2,4})x(\d{2,4})$")


class ReaderKind(StrEnum):
    """Which reader opens a source (ingest/sources/readers/open.py)."""

    STREAM = "stream"  # FFmpeg, by RTSP
    HTTP = "http"  # a polled snapshot, a stream or a file: the bytes of the first answer decide
    VIDEO = "video"
    IMAGES = "images"
    USB = "usb"
    SIM = "sim"

    @property
    def live(self) -> bool:
        """Whether the newest frame matters more than every frame: it does for cameras, not for files."""
        return self not in (ReaderKind.VIDEO, ReaderKind.IMAGES)


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source as it is configured.

    `address` may hold credentials and goes to the capture process alone; `shown` has none, for people and records. Of a
    folder: `others` are files that are no images by their names, `closed` are folders that cannot be entered.
    """

    reader: ReaderKind
    address: str
    shown: str
    others: LeftOut = NOTHING_LEFT_OUT
    closed: LeftOut = NOTHING_LEFT_OUT

    @property
    def live(self) -> bool:
        """Whether it is a camera, and not a file or folder, which ends. An HTTP address counts as a camera at first."""
        return self.reader.live


def parse_source(text: str, folder: Path | None = None) -> SourceSpec:
    """The source that `text` names; a relative path is one in `folder`. Raises ConfigError with one sentence.

    Usual other spellings are understood: `0`, `usb0`, `/dev/video0`, `file:///clip.mp4`, and quotes around it all.
    """
    text = _unquoted(text, folder)
    if not text:
        raise ConfigError("a source is empty: give rtsp://..., http://..., a file, a folder, usb:0 or sim:NAME")
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if colon and scheme == "sim":
        parse_sim(rest)
        return SourceSpec(ReaderKind.SIM, rest, text)
    camera = USB_CAMERA.fullmatch(str(Path(text).resolve()) if text.startswith(UDEV_FOLDER) else text)
    if camera and (text.startswith("/dev/") or not _exists(_path(text, folder))):
        return SourceSpec(ReaderKind.USB, str(int(camera[1])), text)
    if colon and scheme == "usb":
        raise ConfigError(f"source {redact_address(text)}: a local camera is usb: and its number, as in usb:0")
    if colon and scheme == "file":
        return _parse_path(_path_of_file_url(text), folder)
    if rest.startswith("//"):
        return _parse_url(scheme, text)
    return _parse_path(text, folder)


def _unquoted(text: str, folder: Path | None) -> str:
    """Without space and quotes around it, which come from configuration files and web pages; a file keeps its name."""
    stripped = text.strip()
    if len(stripped) > 1 and stripped[0] in QUOTES and stripped[-1] in QUOTES and not _exists(_path(text, folder)):
        return stripped[1:-1].strip()
    return text if _exists(_path(text, folder)) else stripped


def _parse_url(scheme: str, text: str) -> SourceSpec:
    shown = utf8_name(redact_address(text))
    if scheme not in URL_SCHEMES:
        raise ConfigError(f"source {shown}: its scheme is not supported, only {', '.join(URL_SCHEMES)}")
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError where it is not a number
    except ValueError:
        raise ConfigError(f"source {shown}: its host and port cannot be read; {ESCAPES}") from None
    if has_hidden_host(text):
        raise ConfigError(f"source {shown}: it is not clear where the password ends and the host begins; {ESCAPES}")
    if not parts.hostname:
        raise ConfigError(f"source {shown}: the address has no host")
    if scheme.startswith("rtsp"):
        return SourceSpec(ReaderKind.STREAM, text, shown)
    return SourceSpec(ReaderKind.HTTP, text, shown)


def _path_of_file_url(text: str) -> str:
    """The path in `file:///clip.mp4` and `file:clip.mp4`."""
    rest = text.partition(":")[2]
    host, path = "", rest
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        path = slash + path
    if host.lower() not in ("", "localhost"):
        raise ConfigError(
            f"source {redact_address(text)}: file:// is followed by a whole path, as in file:///data/clip.mp4;"
            " a relative path is given without file://"
        )
    return path if _exists(Path(path)) else unquote(path)


def _path(text: str, folder: Path | None) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # ~joe, and there is no such user
        path = Path(text)
    return path if folder is None else folder / path


def _exists(path: Path) -> bool:
    """Whether there is a file or folder, also one that must not be looked at; text that is no path names none."""
    try:
        path.stat()
    except PermissionError:
        return True
    except (OSError, ValueError):  # too long, or with a zero byte
        return False
    return True


def _parse_path(text: str, folder: Path | None) -> SourceSpec:
    path = _path(text, folder)
    if not _exists(path):
        raise _no_such_file(text, folder)
    shown = utf8_name(text if folder is None else str(path))
    if not os.access(path, os.R_OK):
        raise ConfigError(f"source {shown}: its permissions do not allow reading it")
    if path.is_dir():
        found = folder_contents(path)
        if not found.images:
            raise ConfigError(f"source {shown}: there are no image files in this folder")
        left_out = (LeftOut.of(found.others), LeftOut.of(found.closed))
        return SourceSpec(ReaderKind.IMAGES, str(path), shown, *left_out)
    if not path.is_file():
        raise ConfigError(f"source {shown}: neither a file nor a folder; a local camera is usb: and its number")
    if is_image(path):
        return SourceSpec(ReaderKind.IMAGES, str(path), shown)
    return SourceSpec(ReaderKind.VIDEO, str(path), shown)


def _no_such_file(text: str, folder: Path | None) -> ConfigError:
    """Text that names no file is often an address without its scheme, and then it may hold a password."""
    hidden = utf8_name(redact_address(text))
    if LIKE_AN_ADDRESS.match(text):
        return ConfigError(
            f"source {hidden}: no such file or folder; the address of a camera begins with {', '.join(BEGINNINGS)}"
        )
    return ConfigError(f"source {_path(hidden, folder)}: no such file or folder")


def parse_sim(text: str) -> sim.SimSpec:
    """A simulated camera from `NAME?size=640x480&seed=0`. Raises ConfigError."""
    name, _, query = text.partition("?")
    if name not in sim.names():
        shown = redact_address(f"sim:{text}") if "@" in text else f"sim:{name}"
        raise ConfigError(f"source {shown}: no such simulated camera; there are {', '.join(sim.names())}")
    options = dict(parse_qsl(query, keep_blank_values=True))
    size = SIM_SIZE.match(options.pop("size", "640x480"))
    seed = options.pop("seed", "0")
    if options or not size or not seed.isdigit():
        shown = redact_address(f"sim:{text}")
        raise ConfigError(f"source {shown}: options are size=640x480 and seed=0, as in sim:{name}?size=640x480&seed=7")
    return sim.SimSpec(name, int(size[1]), int(size[2]), int(seed))


def default_id(source: SourceSpec) -> str:
    """A source id made from the address: `sim-coffee`, `bottle-detection`, `10.0.0.7-stream1`; never a credential."""
    if source.reader == ReaderKind.SIM:
        text = "sim-" + source.address.partition("?")[0]
    elif source.reader == ReaderKind.USB:
        text = f"usb-{source.address}"
    elif "://" in source.shown:
        parts = urlsplit(source.shown)
        text = f"{parts.hostname or ''}{'-' + str(parts.port) if parts.port else ''}{parts.path}"
    else:
        text = Path(source.address).resolve().stem
    return _plain_id(text)


def _plain_id(text: str) -> str:
    """ASCII of the text, and a hash where letters are lost that tell it from others."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    made = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.") or "camera"
    is_lossy = any(not char.isascii() and unicodedata.category(char)[0] in "LNC" for char in plain)
    if not is_lossy and len(made) <= MAX_ID_LETTERS:
        return made
    return f"{made[:MAX_ID_LETTERS]}-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:4]}"
