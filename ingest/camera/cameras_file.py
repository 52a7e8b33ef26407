"""Looks whether cameras.toml was edited, and reads it once the edit is finished. Thin: the rules are in `spec`."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.process import camera_metrics, logs
from ingest.camera.spec import CameraSpec
from schemas.errors import ConfigError

log = logs.get(__name__)


class CamerasFile:
    """The file by its bytes, so that a rename, a write in place and another target of a link are all seen.

    An edit counts once two looks in a row find the same bytes: a half-written file is not read. A file that is wrong
    or cannot be read changes nothing; why is logged once for each edit, and `sightline_cameras_file_ok` is 0 meanwhile.
    """

    def __init__(self, file: Path, load: Callable[[], Sequence[CameraSpec]]) -> None:
        self._file, self._load = file, load
        self._known = self._seen = self._state()
        camera_metrics.CAMERAS_FILE_OK.set(1)

    def look(self) -> Sequence[CameraSpec] | None:
        """The cameras of a new edit that is right; None where there is none."""
        before, self._seen = self._seen, self._state()
        if self._seen == self._known or self._seen != before:
            return None
        self._known = self._seen
        try:
            specs = self._load()
        except ConfigError as error:
            camera_metrics.CAMERAS_FILE_OK.set(0)
            log.error("the cameras stay as they are: their file is wrong", why=str(error))
            return None
        camera_metrics.CAMERAS_FILE_OK.set(1)
        return specs

    def _state(self) -> str:
        try:
            return hashlib.sha256(self._file.read_bytes()).hexdigest()
        except OSError as error:
            return str(error.strerror)
