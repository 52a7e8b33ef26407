"""Settings for display: passwords, tokens and private keys are replaced by stars."""

import re
from typing import Any

from pydantic import SecretStr

from infra.settings.whole import Settings

STARS = "***"
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
# A host with or without a port, and nothing else before the path: a URL without credentials.
_HOST = re.compile(r"([^:/?#@\[\]]*|\[[^/?#@\]]*\])(:\d*)?([/?#].*)?", re.DOTALL)
_SECRET_KEY = re.compile(r"password|secret|token|jaas|credential|key\.pem|user\.?info", re.IGNORECASE)


def masked_url(url: str) -> str:
    """The URL with its password masked, or the user when there is no password; host, port and path stay.

    A password with a slash that is not percent-encoded is masked too.
    """
    found = _URL.fullmatch(url)
    if found is None or "@" not in found["rest"] or _HOST.fullmatch(found["rest"]):
        return url
    user_info, _, host = found["rest"].rpartition("@")
    user, colon, _ = user_info.partition(":")
    return f"{found['scheme']}{user + ':' if colon else ''}{STARS}@{host}"


def flat_settings(settings: Settings) -> dict[str, Any]:
    """Every setting by its dotted name as in `sightline.toml`, secrets masked."""
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
        secret = value.get_secret_value()
        return STARS if secret and _SECRET_KEY.search(name) else masked_url(secret)
    if isinstance(value, str):
        return STARS if value and _SECRET_KEY.search(name) else masked_url(value)
    return value
