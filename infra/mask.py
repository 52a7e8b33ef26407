"""Settings fit to be shown: passwords, tokens and private keys are replaced by stars."""

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from infra.settings import Settings

STARS = "***"
_SECRET_KEY = re.compile(r"password|secret|token|jaas|credential|key\.pem|user\.?info", re.IGNORECASE)


def masked_url(url: str) -> str:
    """The URL with its password (or its only word before the @) masked; host, port and path stay."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    user_info, _, host = parts.netloc.rpartition("@")
    user, colon, _ = user_info.partition(":")
    shown = f"{user}:{STARS}" if colon else STARS
    return urlunsplit(parts._replace(netloc=f"{shown}@{host}"))


def flat_settings(settings: Settings) -> dict[str, Any]:
    """Every setting by its dotted name, as `sightline.toml` would spell it, secrets masked."""
    flat: dict[str, Any] = {}
    _flatten(flat, "", settings.model_dump())
    return flat


def _flatten(flat: dict[str, Any], prefix: str, values: dict[str, Any]) -> None:
    for name, value in values.items():
        key = prefix + (f'"{name}"' if "." in name else name)
        if isinstance(value, dict):
            _flatten(flat, f"{key}.", value)
        else:
            flat[key] = _shown(name, value)


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, SecretStr):
        return masked_url(value.get_secret_value())
    if isinstance(value, str):
        return STARS if value and _SECRET_KEY.search(name) else masked_url(value)
    return value
