"""Settings for display, also in the sentence about a fault: passwords, tokens and keys are replaced by stars."""

import re
from typing import Any

from pydantic import SecretStr

from infra.settings.whole import Settings

STARS = "***"
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
# A host with or without a port, and nothing else before the path: a URL without credentials.
_HOST = re.compile(r"([^:/?#@\[\]]*|\[[^/?#@\]]*\])(:\d*)?([/?#].*)?", re.DOTALL)
# Of a setting, or of a key of a Kafka client. Not `ssl.key.location`, which names a file.
_SECRET_NAME = re.compile(
    r"password|passwd|passphrase|secret|token(?!\.endpoint)|jaas|credential|user\.?info|oauthbearer\.config"
    r"|(^|[._-])(pem|key|pwd)$",
    re.IGNORECASE,
)
# `user:password@host` without a scheme.
_USER_AT_HOST = re.compile(r":.*@", re.DOTALL)


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


def is_secret(name: str) -> bool:
    """Whether the value of that setting or client key, named with or without its section, is never to be shown."""
    return bool(_SECRET_NAME.search(name.replace('"', "")))


def shown(name: str, value: Any) -> Any:
    """The value as it may be shown: stars for a secret and for the password in a URL or an address."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if is_secret(name):
        return STARS if text != "" else ""
    if not isinstance(text, str):
        return text
    masked = masked_url(text)
    return STARS if masked == text and "://" not in text and _USER_AT_HOST.search(text) else masked


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
            flat[key] = shown(name, value)
