"""Reads the settings from their three sources, and reports all faults at once, each as a sentence."""

import os
from typing import Any

from pydantic import ValidationError

from infra.settings.mask import shown
from infra.settings.whole import ENV_PREFIX, Settings
from schemas.errors import ConfigError

ENV_NOT_SETTINGS = {"SIGHTLINE_HOME", "SIGHTLINE_CONFIG"}


def load_settings(flags: dict[str, Any] | None = None) -> Settings:
    """The settings of this process. `flags` is nested like the file, `{"infer": {"model": "null"}}`; None is no value.

    Raises ConfigError with every fault that was found.
    """
    faults = _unknown_variables()
    try:
        settings = Settings(**_given(flags or {}))
    except ValidationError as error:
        raise ConfigError(*faults, *[_sentence(fault) for fault in error.errors()]) from None
    except ConfigError as error:  # of the file
        raise ConfigError(*faults, *error.faults) from None
    except (ValueError, OSError) as error:  # a file that cannot be read, JSON in a variable that cannot be parsed
        raise ConfigError(*faults, str(error)) from error
    if faults:
        raise ConfigError(*faults)
    return settings


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _given(value) if isinstance(value, dict) else value
        for key, value in flags.items()
        if value is not None and value != {}
    }


def _unknown_variables() -> list[str]:
    known = {f"{ENV_PREFIX}{name}".upper() for name in Settings.model_fields}
    return [
        f"{name} is not a setting; `sightline config check` lists them all"
        for name in sorted(os.environ)
        if name.startswith(ENV_PREFIX) and name not in ENV_NOT_SETTINGS and name.split("__")[0] not in known
    ]


def _sentence(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "settings"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{place} is not a setting"
    given = fault.get("input")
    # Text where a table belongs is a table that could not be read, with all its keys.
    if not isinstance(given, str | int | float) or fault["type"] in ("dict_type", "model_type"):
        return f"{place}: {message}"
    return f"{place}: {message} (given: {shown(place, given)!r})"
