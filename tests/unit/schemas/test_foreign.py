"""Avro that others wrote: no schema and no record of theirs keeps a stage busy for ever, or ends it."""

from typing import Any
from unittest.mock import Mock

import pytest

from schemas import codec, records
from schemas.errors import BadFrame

NULLS = {"type": "record", "name": "Nulls", "fields": [{"name": "a", "type": "null"}, {"name": "b", "type": "null"}]}
LONG_COUNT = codec._avro_long(2**61)


def with_extra(*types: Any) -> tuple[codec.Schema, bytes]:
    """The schema of a Frame with fields more of these types, and a Frame's body without them."""
    schema = codec.schema_of(records.Frame)
    schema["fields"] += [{"name": f"extra_{number}", "type": kind} for number, kind in enumerate(types)]
    frame = records.Frame("a/1/2", "a", records.SourceKind.CAMERA, 1, 2, 3, 4, records.Encoding.JPEG, b"\xff\xd8")
    return schema, codec.encode(frame)[10:]


def read_with(schema: codec.Schema, body: bytes) -> records.Frame:
    registry = Mock(schema_for=lambda _schema_id: schema)
    return codec.decode(records.Frame, bytes(5) + body, registry)


def record(name: str, *types: Any) -> codec.Schema:
    fields = [{"name": f"f{number}", "type": kind} for number, kind in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields}


@pytest.mark.parametrize(
    "types",
    [
        [record("N", ["null", "N"])],
        [record("N", record("M", {"type": "array", "items": "N"}))],
        [{"type": "array", "items": "null"}],
        [{"type": "map", "values": {"type": "null"}}],
        [{"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}],
        [{"type": "array", "items": {"type": "array", "items": NULLS}}],
        [NULLS, {"type": "array", "items": "Nulls"}],
        [{"type": "enum", "name": "null", "namespace": "", "symbols": ["A"]}, {"type": "array", "items": "null"}],
        [record("N0", "null"), *(record(f"N{level}", f"N{level - 1}", f"N{level - 1}") for level in range(1, 40))],
        [{"type": "array", "items": record("Mostly", "long", *["null"] * 40)}],
    ],
    ids=[
        "recursive",
        "recursive through others",
        "nulls",
        "map of nulls",
        "empty fixed",
        "records of nulls",
        "records by name",
        "an enum named null",
        "2**40 nulls",
        "too many nulls a byte",
    ],
)
def test_a_foreign_schema_in_which_a_short_record_never_ends_is_refused(types: list[Any]) -> None:
    schema, body = with_extra(*types)
    with pytest.raises(BadFrame) as caught:
        read_with(schema, body + b"\x02" * 50_000 + LONG_COUNT)
    assert caught.value.reason == "schema_unknown"


@pytest.mark.parametrize(
    "items",
    ["boolean", "float", "double", {"type": "fixed", "name": "F", "size": 4}, record("R", "boolean", "double")],
    ids=str,
)
def test_an_array_that_tells_of_more_items_than_there_are_ends_with_the_record(items: Any) -> None:
    schema, body = with_extra({"type": "array", "items": items})
    with pytest.raises(BadFrame, match="not_avro"):
        read_with(schema, body + LONG_COUNT)


def test_a_foreign_schema_may_hold_more_than_ours() -> None:
    enum = {"type": "enum", "name": "E", "symbols": ["A"]}
    box = record("Box", "float", "float", ["null", "string"], "null")
    arrays = [{"type": "array", "items": items} for items in (enum, "E", box, ["null", "Box"])]
    schema, body = with_extra("null", NULLS, *arrays, {"type": "map", "values": "long"})
    assert read_with(schema, body + bytes(5)).frame_id == "a/1/2"


@pytest.mark.parametrize("schema", ["\ud800", {"type": "\ud800"}, {**codec.schema_of(records.Frame), "name": "\ud800"}])
def test_why_a_schema_does_not_fit_can_be_written_down_whatever_it_holds(schema: Any) -> None:
    with pytest.raises(BadFrame) as caught:
        read_with(schema, b"x")
    assert "\\ud800" in caught.value.detail.encode().decode()
