"""Where settings and state are on this machine: the configuration file and the state folder."""

import os
from pathlib import Path

from schemas.errors import ConfigError

DEFAULT_CONFIG = "sightline.toml"


def home() -> Path:
    """The folder of local services, jars and caches: $SIGHTLINE_HOME, or `.sightline` in the working directory."""
    return Path(os.environ.get("SIGHTLINE_HOME") or ".sightline").absolute()


def config_file() -> Path:
    """$SIGHTLINE_CONFIG, which must name a file, or `sightline.toml` in the working directory. Raises ConfigError."""
    named = os.environ.get("SIGHTLINE_CONFIG")
    if named and not Path(named).is_file():
        raise ConfigError(f"SIGHTLINE_CONFIG names {named}, but there is no such file")
    return Path(named or DEFAULT_CONFIG)
