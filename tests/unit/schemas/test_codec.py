"""The wire format: what we write is Avro's, what we read is any known version, and rubbish is BadFrame."""

import io
import json
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import fastavro
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec, records
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame
from schemas.registry_client import HttpRegistry

QUALITIES = st.builds(
    records.Quality,
    st.floats(0, 1e6),
    st.floats(0, 255),
    st.floats(0, 128),
    st.lists(st.text(max_size=8), max_size=3).map(tuple),
)
LONGS = st.integers(0, 2**62)
FRAMES = st.builds(
    records.Frame,
    st.text(max_size=40),
    st.text(max_size=20),
    st.sampled_from(records.SourceKind),
    LONGS,
    LONGS,
    LONGS,
    LONGS,
    st.sampled_from(records.Encoding),
    st.binary(max_size=400),
    st.none() | st.text(max_size=40),
    st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
)
PLACES = st.builds(Coordinates, st.text(max_size=9), st.integers(0, 99), LONGS)
ITEMS = st.builds(
    records.BatchItem,
    LONGS,
    st.text(max_size=20),
    st.text(max_size=20),
    LONGS,
    st.binary(min_size=16, max_size=16),
    QUALITIES,
    st.integers(0, 2**30),
    st.integers(0, 2**30),
    st.none() | PLACES,
)
BATCHES = st.builds(
    records.MicroBatch,
    st.text(max_size=20),
    st.sampled_from(["live", "replay"]),
    st.sampled_from(records.PixelEncoding),
    st.integers(1, 4096),
    st.integers(1, 4096),
    st.text(max_size=20),
    st.integers(0, 1000),
    st.lists(ITEMS, max_size=4).map(tuple),
    st.binary(max_size=400),
)
LABELS = st.builds(
    records.Label,
    st.text(max_size=20),
    st.text(max_size=20),
    LONGS,
    LONGS,
    st.sampled_from(records.Decision),
    st.none() | st.text(max_size=20),
    st.lists(st.builds(records.Prediction, st.text(max_size=5), st.text(max_size=9), st.floats(0, 1)), max_size=5).map(
        tuple
    ),
    st.sampled_from(records.Origin),
    st.builds(records.ModelRef, st.text(max_size=9), st.text(max_size=9), st.text(max_size=9)),
    QUALITIES,
    PLACES,
    st.none() | st.text(max_size=9),
    st.none() | st.floats(0, 1),
    st.none() | st.floats(0, 1),
    st.none() | st.text(max_size=9),
    LONGS,
    st.none() | PLACES,
    st.lists(
        st.builds(records.Detection, st.text(max_size=5), st.text(max_size=9), *[st.floats(0, 1)] * 5), max_size=2
    ).map(tuple),
)
RECORDS = st.one_of(FRAMES, BATCHES, LABELS)


class OneSchemaRegistry:
    """A registry as the codec sees it, kept in memory."""

    def __init__(self) -> None:
        self.schemas: list[codec.Schema] = []

    def id_for(self, subject: str, schema: codec.Schema) -> int:
        if schema not in self.schemas:
            self.schemas.append(schema)
        return self.schemas.index(schema)

    def schema_for(self, schema_id: int) -> codec.Schema:
        return self.schemas[schema_id]


@given(RECORDS)
def test_what_is_written_is_read_back_in_both_framings(record: codec.Record) -> None:
    registry = OneSchemaRegistry()
    record_type: Any = type(record)
    assert codec.decode(record_type, codec.encode(record)) == record
    assert codec.decode(record_type, codec.encode(record, registry, "topic"), registry) == record


@settings(max_examples=300)
@given(RECORDS, st.data())
def test_damaged_records_raise_bad_frame_and_nothing_else(record: codec.Record, data: st.DataObject) -> None:
    record_type: Any = type(record)
    encoded = bytearray(codec.encode(record))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(encoded) - 1))
        encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        codec.decode(record_type, bytes(encoded[: data.draw(st.integers(0, len(encoded)))]))
    except BadFrame as error:
        assert error.reason in {"not_avro", "schema_unknown", "empty"}


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_frame(data: bytes) -> None:
    with pytest.raises(BadFrame):
        codec.decode(records.Frame, data)


WORDS = st.sampled_from(
    ["record", "enum", "fixed", "array", "map", "long", "null", "string", "object", "Frame", "", "x"]
)
KEYS = st.sampled_from(["type", "name", "fields", "items", "values", "symbols", "size", "default", "properties"])
FOREIGN = st.recursive(
    WORDS | st.none() | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=10,
)


@given(FOREIGN, st.none() | st.integers(0, 10), st.binary(max_size=80))
def test_whatever_the_registry_holds_under_an_id_nothing_but_a_bad_frame_is_raised(
    found: Any, at: int | None, body: bytes
) -> None:
    """`at`: the field of our own schema that has this for a type; None: it is the whole schema."""
    schema = codec.schema_of(records.Frame)
    if at is None:
        schema = found
    else:
        schema["fields"][at]["type"] = found
    registry = OneSchemaRegistry()
    registry.schemas.append(schema)
    with suppress(BadFrame):
        codec.decode(records.Frame, bytes(5) + body, registry)


@pytest.mark.parametrize(
    "answer",
    [
        {"schemaType": "JSON", "schema": '{"type": "object", "properties": {}}'},
        {"schemaType": "PROTOBUF", "schema": 'syntax = "proto3"; message Frame {}'},
        {"schema": '{"type": "object"}'},
        {"schema": "message Frame"},
        {
            "schema": json.dumps({"type": "record", "name": "F", "fields": [{"name": "a", "type": "elsewhere.Other"}]}),
            "references": [{"name": "elsewhere.Other", "subject": "other", "version": 1}],
        },
    ],
    ids=["json schema", "protobuf", "no avro type", "no json", "with references"],
)
def test_an_id_of_something_else_than_one_avro_schema_is_a_bad_frame(
    answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the first bytes of an MP4 or HEIC file name one."""
    transport = httpx2.MockTransport(lambda _request: httpx2.Response(200, json=answer))
    registry = HttpRegistry("http://registry")
    monkeypatch.setattr(registry, "_http", httpx2.Client(transport=transport))
    with pytest.raises(BadFrame) as caught:
        codec.decode(records.Frame, b"\x00\x00\x00\x1cftypheic", registry)
    assert caught.value.reason == "schema_unknown"


def test_a_program_that_knows_only_the_schema_file_reads_and_writes_our_frames() -> None:
    schema = json.loads((Path(codec.__file__).parent / "frame.avsc").read_text())
    parsed = fastavro.parse_schema(schema)
    fields = {
        "frame_id": "dock/1/2",
        "source_id": "dock",
        "source_kind": "CAMERA",
        "stream_epoch": 1,
        "frame_seq": 2,
        "captured_at": 1_700_000_000_000_000,
        "received_at": 1_700_000_000_000_001,
        "encoding": "JPEG",
        "image": b"\xff\xd8",
    }
    body = io.BytesIO()
    fastavro.schemaless_writer(body, parsed, fields)
    crc = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(schema), "CRC-64-AVRO")
    frame = codec.decode(records.Frame, b"\xc3\x01" + bytes.fromhex(crc) + body.getvalue())
    assert frame.frame_id == "dock/1/2"
    assert frame.captured_at == 1_700_000_000_000_000
    assert frame.attributes == {}

    ours = codec.encode(frame)
    theirs = fastavro.schemaless_reader(io.BytesIO(ours[10:]), parsed)
    assert isinstance(theirs, dict)
    assert theirs["source_id"] == "dock"
    assert theirs["captured_at"].timestamp() == 1_700_000_000


@pytest.mark.parametrize("size", [0, 1, 63, 64, 8191, 8192, 1_048_576, 3_000_001])
def test_pixels_of_any_length_are_written_as_avro_says(size: int) -> None:
    parsed = fastavro.parse_schema(json.loads((Path(codec.__file__).parent / "microbatch.avsc").read_text()))
    batch = records.MicroBatch("b", "live", records.PixelEncoding.I420, 224, 224, "frames.raw", 3, (), b"\x07" * size)
    fields = fastavro.schemaless_reader(io.BytesIO(codec.encode(batch)[10:]), parsed)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, parsed, fields)
    assert body.getvalue() == codec.encode(batch)[10:]
    assert codec.decode(records.MicroBatch, codec.encode(batch)) == batch


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"<html>", "not_avro"),
        (b"\xc3\x01" + bytes(8) + b"x", "schema_unknown"),
        (b"\x00" + struct.pack(">I", 7) + b"x", "schema_unknown"),
        (b"\xc3\x01", "not_avro"),
    ],
)
def test_what_is_no_record_says_why(data: bytes | None, reason: str) -> None:
    with pytest.raises(BadFrame) as caught:
        codec.decode(records.Frame, data)
    assert caught.value.reason == reason


def test_bytes_behind_the_record_are_refused() -> None:
    label = records.Label(
        "f",
        "s",
        1,
        2,
        records.Decision.ACCEPTED,
        None,
        (),
        records.Origin.MODEL,
        records.ModelRef("m", "1", "none"),
        records.Quality(0, 0, 0),
        Coordinates("t", 0, 0),
    )
    with pytest.raises(BadFrame, match="behind the record"):
        codec.decode(records.Label, codec.encode(label) + b"\x00")
