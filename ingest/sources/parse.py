"""What `--source S` means: parsed and checked before anything is started.

rtsp:// rtsps:// http:// https://   a stream, or a snapshot that is polled    live
usb:0                               a local camera                            live
sim:coffee sim:mix?size=640x480     a simulated camera over real photos       live
clip.mp4                            a video file, at its own pace             finite
photos/ photo.jpg                   images, each file's bytes as they are     finite

When there is no room, a live source loses its oldest frame; a finite source waits and loses nothing.
"""

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from ingest.sources import sim
from ingest.sources.files import image_files, is_image, utf8_name
from ingest.sources.redact import redact_url
from schemas.errors import ConfigError

URL_SCHEMES = ("rtsp", "rtsps", "http", "https")
# By http(s) these are videos that end, and not streams.
HTTP_FILE_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"))
SIM_SIZE = re.compile(r"^(\d{2,4})x(\d{2,4})$")


class ReaderKind(StrEnum):
    """Which reader opens a source (ingest/sources/readers/open.py)."""

    STREAM = "stream"  # FFmpeg, by RTSP
    HTTP = "http"  # FFmpeg or a polled snapshot: the content type of the first answer decides
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

    `address` may hold credentials and goes to the capture process alone; `shown` has none, for people and records.
    """

    reader: ReaderKind
    address: str
    shown: str

    @property
    def live(self) -> bool:
        """Whether it is a camera, and not a file or folder, which ends."""
        return self.reader.live


def parse_source(text: str) -> SourceSpec:
    """The source that `text` names. Raises ConfigError: one sentence that says what was expected."""
    scheme, colon, rest = text.partition(":")
    if not text.strip():
        raise ConfigError("a source is empty: give rtsp://..., http://..., a file, a folder, usb:0 or sim:NAME")
    if colon and scheme == "sim":
        parse_sim(rest)
        return SourceSpec(ReaderKind.SIM, rest, text)
    if colon and scheme == "usb":
        if not rest.isdigit():
            raise ConfigError(f"source {text}: a local camera is usb: and its number, as in usb:0")
        return SourceSpec(ReaderKind.USB, rest, text)
    if rest.startswith("//"):
        return _parse_url(scheme.lower(), text)
    return _parse_path(text)


def _parse_url(scheme: str, text: str) -> SourceSpec:
    shown = utf8_name(redact_url(text))
    if scheme not in URL_SCHEMES:
        raise ConfigError(f"source {shown}: {scheme}:// is not supported, only {', '.join(URL_SCHEMES)}")
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError where it is not a number
    except ValueError:
        raise ConfigError(
            f"source {shown}: the port is not a number; a '/', '@' or ':' in a password is written %2F, %40, %3A"
        ) from None
    if not parts.hostname:
        raise ConfigError(f"source {shown}: the address has no host")
    if scheme.startswith("rtsp"):
        return SourceSpec(ReaderKind.STREAM, text, shown)
    is_file = Path(parts.path).suffix.lower() in HTTP_FILE_SUFFIXES
    return SourceSpec(ReaderKind.VIDEO if is_file else ReaderKind.HTTP, text, shown)


def _parse_path(text: str) -> SourceSpec:
    path = Path(text).expanduser()
    if not path.exists():
        raise ConfigError(f"source {text}: no such file or folder")
    if not os.access(path, os.R_OK):
        raise ConfigError(f"source {text}: its permissions do not allow reading it")
    if path.is_dir():
        if not image_files(path):
            raise ConfigError(f"source {text}: there are no image files in this folder")
        return SourceSpec(ReaderKind.IMAGES, str(path), utf8_name(text))
    if not path.is_file():
        raise ConfigError(f"source {text}: neither a file nor a folder")
    if is_image(path):
        return SourceSpec(ReaderKind.IMAGES, str(path), utf8_name(text))
    return SourceSpec(ReaderKind.VIDEO, str(path), utf8_name(text))


def parse_sim(text: str) -> sim.SimSpec:
    """A simulated camera from `NAME?size=640x480&seed=0`. Raises ConfigError."""
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


def default_id(source: SourceSpec) -> str:
    """A source id made from the address: `sim-coffee`, `bottle-detection`, `10.0.0.7-stream1`; never a credential."""
    if source.reader == ReaderKind.SIM:
        text = "sim-" + source.address.partition("?")[0]
    elif source.reader == ReaderKind.USB:
        text = f"usb-{source.address}"
    elif "://" in source.shown:
        parts = urlsplit(source.shown)
        text = f"{parts.hostname}{'-' + str(parts.port) if parts.port else ''}{parts.path}"
    else:
        text = Path(source.address).resolve().stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "camera"
