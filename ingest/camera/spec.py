"""Which cameras an agent serves, from options or from `cameras.toml`. Every fault is listed before anything starts.

[[camera]]
id = "dock-03"                    # Kafka key; default: made from the source
source = "${DOCK03_URL}"          # as --source; variables keep passwords out of this file
fps = 2                           # default: the setting camera.fps
loop = false                      # true: files and folders start again at their end
jpeg_quality = 90
user = "joe"                      # of a network camera, apart from its address
password = "${DOCK03_PASSWORD}"
tls_verify = true                 # false: any certificate is taken
ca_file = "dock-03.pem"           # what its certificate is checked against; default: the system's certificates
use_proxy = false                 # true: the proxy variables of the environment apply
rtsp_transport = "auto"           # "tcp", "udp"; auto: UDP where the camera answers 461 to TCP
open_timeout_ms = 5000            # of connecting, up to the first answer
read_timeout_ms = 5000            # of a picture
lost_after_ms = 30000             # a polled camera without a picture for so long is lost
max_side = 1280                   # pictures are made smaller before they are encoded; 0: not
keyframes_only = false            # true: only key frames are decoded, at whatever rate they come
skip_unchanged_ms = 0             # a still scene sends a frame this often; 0: all frames
frozen_after_ms = 60000           # the same picture for so long: the camera is told as frozen
active_hours = ["07:00-19:30"]    # local time; outside of it the camera is not read
expected_offline = false          # true: that it is away is no fault

All but the first four and the last two have settings of the same names, `camera.user` and so on, for all cameras.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.settings import CameraSettings
from infra.settings.toml_file import lines_of_tables, read_toml_text
from ingest.camera.hours import ALWAYS, ActiveHours, parse_hours
from ingest.sources.connection import (
    DEFAULT,
    RTSP_TRANSPORTS,
    Connection,
    ConnectionFault,
    is_network,
    proxy_of,
    tls_context,
    uses_tls,
)
from ingest.sources.parse import SourceSpec, default_id, parse_source
from schemas.errors import ConfigError

MAX_FPS = 1_000.0
MAX_TIMEOUT_MS = 86_400_000
ID_PATTERN = re.compile(r"^[A-Za-z0-9._-]{1,200}\Z")
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
CONNECTION_KEYS = ("user", "password", "tls_verify", "ca_file", "use_proxy", "rtsp_transport")
TIMEOUT_KEYS = ("open_timeout_ms", "read_timeout_ms", "lost_after_ms")
PICTURE_KEYS = ("max_side", "keyframes_only", "skip_unchanged_ms", "frozen_after_ms")
DUTY_KEYS = ("active_hours", "expected_offline")
KEYS = ("id", "source", "fps", "loop", "jpeg_quality", *CONNECTION_KEYS, *TIMEOUT_KEYS, *PICTURE_KEYS, *DUTY_KEYS)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a camera is waited for: until it answers, until a picture comes, until it counts as lost."""

    open_timeout_ms: int
    read_timeout_ms: int
    lost_after_ms: int

    @classmethod
    def of(cls, settings: CameraSettings) -> "Timeouts":
        return cls(settings.open_timeout_ms, settings.read_timeout_ms, settings.lost_after_ms)


@dataclass(frozen=True, slots=True)
class Pictures:
    """How pictures are made, and which of them are sent."""

    max_side: int = 0
    keyframes_only: bool = False
    skip_unchanged_ms: int = 0
    frozen_after_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """One camera as it is configured. `expected_offline`: that it is away is no fault, and raises no alert."""

    source_id: str
    source: SourceSpec
    fps: float
    loop: bool
    jpeg_quality: int
    timeouts: Timeouts
    connection: Connection = DEFAULT
    pictures: Pictures = field(default_factory=Pictures)
    hours: ActiveHours = ALWAYS
    expected_offline: bool = False


def load_cameras(file: Path, settings: CameraSettings, environ: Mapping[str, str] = os.environ) -> list[CameraSpec]:
    """The cameras of a file; paths in it are relative to it. Raises ConfigError with everything that is wrong in it."""
    try:
        document, text = read_toml_text(file)
    except OSError as error:
        raise ConfigError(f"{file}: it cannot be read: {error.strerror}") from error
    entries = document.pop("camera", None)
    faults = [f"{file}: {name} is not a key here; cameras are [[camera]] tables" for name in document]
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(*faults, f"{file}: there is no [[camera]] table in it")
    specs = []
    lines = lines_of_tables(text, "camera")
    for number, entry in enumerate(entries, 1):
        try:
            specs.append(camera_spec(entry, settings, environ, file.parent))
        except ConfigError as error:
            line = f"line {lines[number - 1]}: " if len(lines) == len(entries) else ""
            faults += [f"{file}: {line}camera {entry.get('id', number)}: {fault}" for fault in error.faults]
        except ValueError:
            faults.append(f"{file}: camera {number}: a number in it has thousands of digits")
    faults += [f"{file}: {fault}" for fault in duplicate_ids(specs)]
    if faults:
        raise ConfigError(*faults)
    return specs


def camera_spec(
    entry: Mapping[str, Any],
    settings: CameraSettings,
    environ: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> CameraSpec:
    """One camera. Raises ConfigError with all of its faults."""
    faults = [f"{name} is not a key of a camera; the keys are {', '.join(KEYS)}" for name in entry if name not in KEYS]
    fps, loop = entry.get("fps", settings.fps), entry.get("loop", False)
    quality = entry.get("jpeg_quality", settings.jpeg_quality)
    if not _is_number(fps) or not 0 < fps <= MAX_FPS:
        faults.append(f"fps must be a number above 0 and up to {MAX_FPS:g} (given: {fps!r})")
    if not isinstance(loop, bool):
        faults.append(f"loop must be true or false (given: {loop!r})")
    if not _is_number(quality) or not 1 <= quality <= 100:
        faults.append(f"jpeg_quality must be a number from 1 to 100 (given: {quality!r})")
    source = _source(entry.get("source"), environ, folder, faults)
    source_id = entry.get("id") or (default_id(source) if source else "unknown")
    if not isinstance(source_id, str) or not ID_PATTERN.match(source_id):
        faults.append(f"an id must be 1 to 200 letters, digits, '.', '_' and '-' (given: {source_id!r})")
    connection = _connection(entry, settings, environ, folder, faults)
    timeouts = _timeouts(entry, settings, faults)
    pictures, hours = _pictures(entry, settings, faults), _hours(entry, faults)
    if source is not None and is_network(source.address):
        faults += _connection_faults(entry, source, connection, environ)
    if faults or source is None:
        raise ConfigError(*faults)
    return CameraSpec(
        source_id,
        source,
        float(fps),
        loop,
        int(quality),
        timeouts,
        connection,
        pictures,
        hours,
        entry.get("expected_offline", False),
    )


def _pictures(entry: Mapping[str, Any], settings: CameraSettings, faults: list[str]) -> Pictures:
    given = {name: entry.get(name, getattr(settings, name)) for name in PICTURE_KEYS}
    if not isinstance(given["keyframes_only"], bool):
        faults.append(f"keyframes_only must be true or false (given: {given['keyframes_only']!r})")
    for name, least in (("max_side", 0), ("skip_unchanged_ms", 0), ("frozen_after_ms", 1)):
        value = given[name]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_TIMEOUT_MS:
            faults.append(f"{name} must be a whole number from {least} on (given: {value!r})")
    return Pictures(**given)


def _hours(entry: Mapping[str, Any], faults: list[str]) -> ActiveHours:
    given = entry.get("active_hours", [])
    if not isinstance(entry.get("expected_offline", False), bool):
        faults.append(f"expected_offline must be true or false (given: {entry['expected_offline']!r})")
    try:
        if isinstance(given, list) and all(isinstance(text, str) for text in given):
            return parse_hours(given)
        raise ValueError(given)
    except ValueError as error:
        faults.append(f'active_hours must be a list such as ["07:00-19:30"] (given: {error.args[0]!r})')
    return ALWAYS


def _connection(
    entry: Mapping[str, Any],
    settings: CameraSettings,
    environ: Mapping[str, str],
    folder: Path | None,
    faults: list[str],
) -> Connection:
    """How the camera is reached: its own keys before the settings for all cameras."""
    switches = {name: entry.get(name, getattr(settings, name)) for name in ("tls_verify", "use_proxy")}
    faults += [
        f"{name} must be true or false (given: {value!r})"
        for name, value in switches.items()
        if not isinstance(value, bool)
    ]
    texts = {name: _text(entry[name], name, environ, faults) for name in CONNECTION_KEYS[:2] if name in entry}
    transport = entry.get("rtsp_transport", settings.rtsp_transport)
    if transport not in RTSP_TRANSPORTS:
        faults.append(f"rtsp_transport must be {', '.join(RTSP_TRANSPORTS)} (given: {transport!r})")
    ca_file = _text(entry.get("ca_file", settings.ca_file), "ca_file", environ, faults)
    if ca_file and folder is not None and "ca_file" in entry:
        ca_file = str(folder / Path(ca_file).expanduser())
    return Connection(
        tls_verify=switches["tls_verify"] is True,
        ca_file=ca_file,
        user=texts.get("user", settings.user),
        password=texts.get("password", settings.password.get_secret_value()),
        use_proxy=switches["use_proxy"] is True,
        rtsp_transport=transport,
    )


def _timeouts(entry: Mapping[str, Any], settings: CameraSettings, faults: list[str]) -> Timeouts:
    given = {name: entry.get(name, getattr(settings, name)) for name in TIMEOUT_KEYS}
    faults += [
        f"{name} must be a whole number of milliseconds above 0 (given: {value!r})"
        for name, value in given.items()
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_TIMEOUT_MS
    ]
    return Timeouts(**given)


def _connection_faults(
    entry: Mapping[str, Any], source: SourceSpec, connection: Connection, environ: Mapping[str, str]
) -> list[str]:
    """What can be known to fail before anything is opened: certificates and proxies that cannot be used."""
    found = []
    if urlsplit(source.address).username is not None and ("user" in entry or "password" in entry):
        found.append("user and password are in the source and in keys of their own: give them once")
    try:
        if uses_tls(source.address):
            tls_context(connection, environ)
        proxy_of(source.address, connection, environ)
    except ConnectionFault as fault:
        found.append(f"source {source.shown} {fault}")
    return found


def _text(given: Any, name: str, environ: Mapping[str, str], faults: list[str]) -> str:
    """A text with its ${VARIABLES} filled in; a fault never shows it."""
    if not isinstance(given, str):
        faults.append(f"{name} must be a text in quotes")
        return ""
    unset = sorted({variable for variable in VARIABLE.findall(given) if variable not in environ})
    if unset:
        faults.append(f"{name} uses {', '.join(unset)}, which is not in the environment")
        return ""
    return VARIABLE.sub(lambda match: environ[match.group(1)], given)


def duplicate_ids(specs: list[CameraSpec]) -> list[str]:
    """One sentence for each id that several cameras share."""
    counts = Counter(spec.source_id for spec in specs)
    return [f"{count} cameras have the id {name}: give each one its own" for name, count in counts.items() if count > 1]


def _source(given: Any, environ: Mapping[str, str], folder: Path | None, faults: list[str]) -> SourceSpec | None:
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)  # a local camera by its number
    if not isinstance(given, str) or not given:
        faults.append("source is missing: give rtsp://..., http://..., a file, a folder, usb:0 or sim:NAME")
        return None
    text = _text(given, "source", environ, faults)
    if not text:
        return None
    try:
        return parse_source(text, folder)
    except ConfigError as error:
        faults.extend(error.faults)
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
