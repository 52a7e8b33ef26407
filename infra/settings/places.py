"""The two places on this machine that hold settings and state: the configuration file and the state folder."""

import os
from pathlib import Path

from schemas.errors import ConfigError

DEFAULT_CONFIG = "sightline.toml"


def home() -> Path:
    """Where local services, jars and caches are kept: $SIGHTLINE_HOME, or `.sightline` in this folder."""
    return Path(os.environ.get("SIGHTLINE_HOME") or ".sightline").absolute()


def config_file() -> Path:
    """$SIGHTLINE_CONFIG, or `sightline.toml` in this folder. Raises ConfigError when the named one is no file."""
    named = os.environ.get("SIGHTLINE_CONFIG")
    if named and not Path(named).is_file():
        raise ConfigError(f"SIGHTLINE_CONFIG names {named}, which is no file")
    return Path(named or DEFAULT_CONFIG)
