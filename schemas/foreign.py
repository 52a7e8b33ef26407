"""Avro that others wrote: what of it is read, so that no schema and no record of theirs costs more than its bytes."""

import functools
import io
import json
from typing import Any

import fastavro

from schemas.errors import BadFrame

# What a foreign schema may cost: values read for each byte of a record, and beyond what its bytes pay for.
VALUES_PER_BYTE = 32
MAX_UNPAID_VALUES = 1_000
_PAID = 1 - VALUES_PER_BYTE
_PRIMITIVES = {"boolean", "int", "long", "float", "double", "bytes", "string"}
MAX_DETAIL_CHARS = 300


def parse_foreign(schema: dict[str, Any]) -> Any:
    """A schema that others registered: fastavro raises what it likes on one that is no Avro, or refers to another."""
    try:
        return _bounded(json.dumps(schema))
    except Exception as error:
        raise BadFrame("schema_unknown", told(f"no Avro schema for us: {type(error).__name__}: {error}")) from error


@functools.lru_cache(maxsize=256)
def _bounded(schema_json: str) -> Any:
    parsed = parse(json.loads(schema_json))
    _unpaid(parsed, {})
    return parsed


def _unpaid(schema: Any, named: dict[str, int | None]) -> int:
    """How many values one of `schema` may hold beyond those that its own bytes pay for; negative: bytes to spare.

    Raises ValueError where a short record could keep fastavro busy for ever (2**62 nulls take 10 bytes), or end the
    process: recursion in C has no limit. `named`: the named types met so far, None while inside of one.
    """
    if isinstance(schema, list):
        return _PAID + max((_unpaid(branch, named) for branch in schema), default=0)
    if isinstance(schema, str):
        # Primitives first, as fastavro has it: a type may be named like one.
        unpaid = 1 if schema == "null" else _PAID if schema in _PRIMITIVES else named[schema]
        if unpaid is None:
            raise ValueError(f"{schema} is recursive")
        return unpaid
    kind, name = schema["type"], schema.get("name", "")
    if kind in ("array", "map"):
        if _unpaid(schema["items" if kind == "array" else "values"], named) > 0:
            raise ValueError(f"{kind} of what takes no bytes, or too few")
        return _PAID
    if kind in ("enum", "fixed"):
        unpaid = _PAID if schema.get("size", 1) > 0 else 1
    elif "fields" in schema:
        named[name] = None
        unpaid = 1 + sum(_unpaid(field["type"], named) for field in schema["fields"])
        if unpaid > MAX_UNPAID_VALUES:
            raise ValueError(f"{name} holds too much that takes no bytes")
    else:
        return _unpaid(kind, named)
    named[name] = unpaid
    return unpaid


class Body(io.BytesIO):
    """fastavro passes over booleans, floats and fixeds without a look at the end: an array of them never met it."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if len(data) < (size or 0):
            raise EOFError("the record ends early")
        return data


def told(text: str) -> str:
    """Foreign text for people, as every encoder takes it: JSON may hold lone surrogates."""
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
