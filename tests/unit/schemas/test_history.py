"""Every change of a schema stays readable: BACKWARD_TRANSITIVE with all earlier versions."""

import json
import struct
from typing import Any

import pytest

from schemas import codec, records, replays
from tests.support import avro_compat
from tests.support.paths import SHARED

AVRO_CASES = SHARED / "data" / "avro"
needs_cases = pytest.mark.skipif(not AVRO_CASES.is_dir(), reason="the Avro cases are not here")

RECORD_TYPES = [
    records.Frame,
    records.MicroBatch,
    records.Label,
    records.ProcessStatus,
    replays.ReplayProgress,
    replays.ReplayRequest,
]


@pytest.mark.parametrize("record_type", RECORD_TYPES)
def test_the_present_schema_is_the_newest_of_its_history(record_type: type[codec.Record]) -> None:
    assert codec.history_of(record_type)[-1] == codec.schema_of(record_type), (
        "a changed schema goes into schemas/history/<name>/<next number>.avsc too"
    )


@pytest.mark.parametrize("record_type", RECORD_TYPES)
def test_every_version_reads_all_earlier_ones(record_type: type[codec.Record]) -> None:
    history = codec.history_of(record_type)
    for number, schema in enumerate(history):
        assert avro_compat.backward_transitive(schema, history[:number]) == []


def changed(**field: Any) -> dict[str, Any]:
    schema = codec.schema_of(records.Frame)
    schema["fields"].append(field)
    return schema


def test_a_new_field_needs_a_default() -> None:
    schema = codec.schema_of(records.Frame)
    assert avro_compat.backward_transitive(changed(name="exposure_us", type="long", default=0), [schema]) == []
    assert avro_compat.backward_transitive(changed(name="exposure_us", type="long"), [schema]) == [
        "/exposure_us: new without a default"
    ]


def test_a_changed_type_and_a_lost_symbol_are_named() -> None:
    old, new = codec.schema_of(records.Frame), codec.schema_of(records.Frame)
    new["fields"][4]["type"] = "string"
    new["fields"][7]["type"]["symbols"].remove("WEBP")
    assert avro_compat.incompatibilities(new, old) == [
        "/frame_seq/: reader has string, writer has long",
        "/encoding/: reader lacks the symbols WEBP",
    ]


def test_a_recursive_schema_ends() -> None:
    node = {
        "type": "record",
        "name": "Node",
        "fields": [{"name": "next", "type": ["null", "Node"]}, {"name": "value", "type": "int"}],
    }
    wider = json.loads(json.dumps(node).replace('"int"', '"long"'))
    assert avro_compat.incompatibilities(wider, node) == []
    assert avro_compat.incompatibilities(node, wider) == ["/value/: reader has int, writer has long"]


@needs_cases
def test_the_cases_of_the_avro_project() -> None:
    for case in json.loads((AVRO_CASES / "cases_apache_reader_writer.json").read_text()):
        found = avro_compat.incompatibilities(case["reader"], case["writer"])
        assert (not found) == case["compatible"], (case, found)


@needs_cases
def test_fingerprints_of_the_avro_project() -> None:
    for case in json.loads((AVRO_CASES / "cases_canonical_fingerprint.json").read_text()):
        if case["crc64_avro_signed"] is not None:
            assert struct.unpack("<q", codec.fingerprint(json.loads(case["input"])))[0] == case["crc64_avro_signed"]
