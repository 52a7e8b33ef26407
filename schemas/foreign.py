"""Avro schemas and records of other programs, with limits: reading a record costs no more than its bytes justify."""

import functools
import io
import json
from typing import Any

import fastavro

from schemas.errors import BadFrame

# Limits on a foreign schema: values for each byte of a record, and values that take no bytes at all.
VALUES_PER_BYTE = 32
MAX_UNPAID_VALUES = 1_000
_PAID = 1 - VALUES_PER_BYTE
_PRIMITIVES = {"boolean", "int", "long", "float", "double", "bytes", "string"}
MAX_DETAIL_CHARS = 300


def parse_foreign(schema: dict[str, Any]) -> Any:
    """Parses a schema from the registry. Raises BadFrame `schema_unknown` where it is not Avro, or exceeds the limits.

    fastavro raises exceptions of many kinds for such a schema, so all of them are caught.
    """
    try:
        return _bounded(json.dumps(schema))
    except Exception as error:
        raise BadFrame("schema_unknown", told(f"not a usable Avro schema: {type(error).__name__}: {error}")) from error


@functools.lru_cache(maxsize=256)
def _bounded(schema_json: str) -> Any:
    parsed = parse(json.loads(schema_json))
    _unpaid(parsed, {})
    return parsed


def _unpaid(schema: Any, named: dict[str, int | None]) -> int:
    """How many values a record of `schema` can hold beyond VALUES_PER_BYTE for each of its bytes; negative: fewer.

    Raises ValueError where a short record could keep fastavro busy without end (2**62 nulls take 10 bytes), or crash
    the process: fastavro's recursion in C has no limit. `named`: the named types found so far, None while inside one.
    """
    if isinstance(schema, list):
        return _PAID + max((_unpaid(branch, named) for branch in schema), default=0)
    if isinstance(schema, str):
        # Primitives first, as in fastavro: a named type may have the name of a primitive.
        unpaid = 1 if schema == "null" else _PAID if schema in _PRIMITIVES else named[schema]
        if unpaid is None:
            raise ValueError(f"{schema} is recursive")
        return unpaid
    kind, name = schema["type"], schema.get("name", "")
    if kind in ("array", "map"):
        if _unpaid(schema["items" if kind == "array" else "values"], named) > 0:
            raise ValueError(f"{kind} of values that take no bytes, or too few")
        return _PAID
    if kind in ("enum", "fixed"):
        unpaid = _PAID if schema.get("size", 1) > 0 else 1
    elif "fields" in schema:
        named[name] = None
        unpaid = 1 + sum(_unpaid(field["type"], named) for field in schema["fields"])
        if unpaid > MAX_UNPAID_VALUES:
            raise ValueError(f"{name} holds too many values that take no bytes")
    else:
        return _unpaid(kind, named)
    named[name] = unpaid
    return unpaid


class Body(io.BytesIO):
    """Raises EOFError at the end of the data. fastavro does not check it for booleans, floats and fixed values."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if len(data) < (size or 0):
            raise EOFError("the record ends early")
        return data


def told(text: str) -> str:
    """Foreign text that every encoder accepts, cut to MAX_DETAIL_CHARS: JSON may hold lone surrogates."""
    return text.encode(errors="backslashreplace").decode()[:MAX_DETAIL_CHARS]


def parse(schema: dict[str, Any]) -> Any:
    # Plain longs in and out: fastavro would make a datetime of every timestamp.
    return fastavro.parse_schema(_without_logical_types(schema))


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without_logical_types(value) for key, value in schema.items() if key != "logicalType"}
    if isinstance(schema, list):
        return [_without_logical_types(part) for part in schema]
    return schema
