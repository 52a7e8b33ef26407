"""The values of librdkafka's keys, read as it reads them. Pure."""

from collections.abc import Mapping
from typing import Any

_YES, _NO = ("true", "t", "1"), ("false", "f", "0")


def given_keys(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that are in force, the later tables over the earlier ones. An empty text is no value."""
    merged: dict[str, Any] = {}
    for table in tables:
        merged.update(table)
    return {key: value for key, value in merged.items() if value != ""}


def flag(keys: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """Raises ValueError: a sentence that begins with the key."""
    text = str(keys.get(key, default)).lower()
    if text not in _YES + _NO:
        raise ValueError(f'"{key}" must be true or false')
    return text in _YES


def whole(keys: Mapping[str, Any], key: str) -> int:
    """Decimal or 0x.... Raises ValueError: a sentence that begins with the key."""
    value = keys[key]
    try:
        return int(value) if isinstance(value, int | float) else int(str(value).strip(), 0)
    except (ValueError, OverflowError):
        raise ValueError(f'"{key}" must be a whole number') from None
