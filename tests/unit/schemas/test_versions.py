"""What is a version that this program does not know, and what is no record of that kind at all."""

import io
import struct
from typing import Any

import fastavro
import pytest

from schemas import avro_fields, codec, foreign, records
from schemas.errors import BadFrame, UnknownVersion
from tests.support.batches import frame, micro_batch


def newer(schema: dict[str, Any]) -> dict[str, Any]:
    """A later version of a schema: a field with a default, as versions only gain them."""
    field = {"name": "made_for", "type": ["null", "string"], "default": None}
    return {**schema, "fields": [*schema["fields"][:-1], field, schema["fields"][-1]]}


class Registry:
    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def id_for(self, subject: str, schema: dict[str, Any]) -> int:
        raise AssertionError("nothing is written here")

    def schema_for(self, schema_id: int) -> dict[str, Any]:
        return self.schema


def in_registry(schema: dict[str, Any], fields: dict[str, Any], schema_id: int = 7) -> bytes:
    """A record as a newer program writes it with a registry."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, foreign.parse(schema), fields)
    return b"\x00" + struct.pack(">I", schema_id) + body.getvalue()


BATCH = codec.schema_of(records.MicroBatch)
FIELDS = avro_fields.microbatch_fields(micro_batch("raw", 3, [10]))


def test_a_fingerprint_of_no_known_version_is_a_newer_one() -> None:
    with pytest.raises(UnknownVersion, match="is no version of MicroBatch"):
        codec.decode(records.MicroBatch, b"\xc3\x01" + codec.fingerprint(newer(BATCH)) + b"whatever")


def test_a_record_of_another_kind_is_no_newer_version() -> None:
    with pytest.raises(BadFrame, match="is that of a Frame, and no MicroBatch") as caught:
        codec.decode(records.MicroBatch, codec.encode(frame("cam-1", 1)))
    assert not isinstance(caught.value, UnknownVersion)


def test_with_a_registry_new_fields_are_no_obstacle() -> None:
    value = in_registry(newer(BATCH), {**FIELDS, "made_for": "a-model/2"})
    found = codec.decode(records.MicroBatch, value, Registry(newer(BATCH)))
    assert [item.offset for item in found.items] == [10]


def test_with_a_registry_a_version_that_cannot_be_resolved_is_a_newer_one() -> None:
    fields = [field for field in BATCH["fields"] if field["name"] != "encoding"]
    encoding = {"name": "encoding", "type": {"type": "enum", "name": "PixelEncoding", "symbols": ["NV12", "I420"]}}
    schema = {**BATCH, "fields": [encoding, *fields]}
    with pytest.raises(UnknownVersion):
        codec.decode(records.MicroBatch, in_registry(schema, {**FIELDS, "encoding": "NV12"}), Registry(schema))


def test_with_a_registry_a_record_of_another_kind_is_no_newer_version() -> None:
    schema = codec.schema_of(records.Frame)
    value = in_registry(schema, avro_fields.flat(frame("cam-1", 1)))
    with pytest.raises(BadFrame) as caught:
        codec.decode(records.MicroBatch, value, Registry(schema))
    assert not isinstance(caught.value, UnknownVersion)


@pytest.mark.parametrize(("schema_id", "expected"), [(0, BadFrame), (1, UnknownVersion), (2**31, BadFrame)])
def test_only_a_positive_int_of_java_can_be_the_id_of_a_schema(schema_id: int, expected: type[BadFrame]) -> None:
    with pytest.raises(BadFrame) as caught:
        codec.decode(records.MicroBatch, b"\x00" + struct.pack(">I", schema_id) + b"x")
    assert type(caught.value) is expected


def test_of_a_batch_that_is_damaged_in_its_pixels_the_frames_are_known() -> None:
    value = codec.encode(micro_batch("raw", 3, [10, 11]))
    found = codec.decode_without_pixels(value[:-1])
    assert ([item.offset for item in found.items], found.pixels) == ([10, 11], b"")
    with pytest.raises(BadFrame, match="not_avro"):
        codec.decode_without_pixels(value[:30])
