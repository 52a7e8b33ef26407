"""Writes the picture of a frame to a file that is not there yet."""

import os
from pathlib import Path

from schemas.errors import ConfigError


def save_picture(path: Path, image: bytes) -> None:
    """The bytes as they were published. It follows no link and overwrites nothing. Raises ConfigError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
            file.write(image)
    except FileExistsError:
        raise ConfigError(f"--save: {path} exists, and nothing is overwritten") from None
    except OSError as error:
        raise ConfigError(f"--save: cannot write {path} ({error.strerror})") from error


def check_path(path: Path) -> None:
    """Raises ConfigError before anything is read where `save_picture` would."""
    if path.is_dir():
        raise ConfigError(f"--save: {path} is a folder, name a file")
    if os.path.lexists(path):
        raise ConfigError(f"--save: {path} exists, and nothing is overwritten")
    if not path.parent.is_dir():
        raise ConfigError(f"--save: there is no folder {path.parent}")
