"""Records to bytes and back: Avro single-object encoding, or Confluent's wire format with a registry.

Single-object encoding: `C3 01`, the schema's CRC-64-AVRO fingerprint (8 bytes, little endian), the Avro body
(Avro 1.11 specification, "Single-object encoding"). Confluent: `00`, the schema id (4 bytes, big endian), the body.
Readers accept both, and every version in `schemas/history/`.
"""

import functools
import io
import json
import struct
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import fastavro

from schemas import records
from schemas.errors import BadFrame

SINGLE_OBJECT_MARKER = b"\xc3\x01"
CONFLUENT_MAGIC = b"\x00"
HERE = Path(__file__).parent

Schema = dict[str, Any]
RecordT = TypeVar("RecordT", records.Frame, records.MicroBatch, records.Label)
Record = records.Frame | records.MicroBatch | records.Label

SCHEMA_FILES: dict[Hashable, str] = {
    records.Frame: "frame",
    records.MicroBatch: "microbatch",
    records.Label: "label",
}


class Registry(Protocol):
    """What the codec needs of a schema registry; ids are cached, so a call is rarely a request."""

    def id_for(self, subject: str, schema: Schema) -> int: ...

    def schema_for(self, schema_id: int) -> Schema: ...


def schema_of(record_type: Hashable) -> Schema:
    """The schema as written in `schemas/*.avsc`."""
    loaded: Schema = json.loads(
        (HERE / f"{SCHEMA_FILES[record_type]}.avsc").read_text()
    )
    return loaded


def history_of(record_type: Hashable) -> list[Schema]:
    """Every version that was ever written, oldest first, the present one last."""
    files = sorted(
        (HERE / "history" / SCHEMA_FILES[record_type]).glob("*.avsc"),
        key=lambda path: int(path.stem),
    )
    return [json.loads(path.read_text()) for path in files]


def fingerprint(schema: Schema) -> bytes:
    """CRC-64-AVRO of the schema's parsing canonical form, little endian, 8 bytes."""
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


@functools.cache
def _writer(record_type: Hashable) -> tuple[Any, bytes]:
    schema = schema_of(record_type)
    return fastavro.parse_schema(
        _without_logical_types(schema)
    ), SINGLE_OBJECT_MARKER + fingerprint(schema)


@functools.cache
def _readers(record_type: Hashable) -> dict[bytes, Any]:
    return {
        fingerprint(schema): fastavro.parse_schema(_without_logical_types(schema))
        for schema in history_of(record_type)
    }


@functools.lru_cache(maxsize=256)
def _foreign_reader(schema_json: str) -> Any:
    return fastavro.parse_schema(_without_logical_types(json.loads(schema_json)))


def encode(record: Record, registry: Registry | None = None, topic: str = "") -> bytes:
    """The record's bytes; with a registry, in Confluent's format under the subject `<topic>-value`."""
    record_type = type(record)
    parsed, prefix = _writer(record_type)
    if registry is not None:
        prefix = CONFLUENT_MAGIC + struct.pack(
            ">I", registry.id_for(f"{topic}-value", schema_of(record_type))
        )
    out = io.BytesIO()
    out.write(prefix)
    fastavro.schemaless_writer(out, parsed, _TO_DICT[record_type](record))
    return out.getvalue()


def decode(
    record_type: type[RecordT], data: bytes | None, registry: Registry | None = None
) -> RecordT:
    """The record in `data`, whichever framing and known version it was written with.

    Raises BadFrame: `empty`, `not_avro` (no known framing, or a body that does not fit its schema), `schema_unknown`.
    """
    if not data:
        raise BadFrame("empty", "the record has no value")
    body = io.BytesIO(data)
    writer_schema = _writer_schema(record_type, data, body, registry)
    try:
        fields = fastavro.schemaless_reader(
            body, writer_schema, _writer(record_type)[0]
        )
        if body.tell() != len(data):
            raise BadFrame(
                "not_avro", f"{len(data) - body.tell()} bytes behind the record"
            )
        return _FROM_DICT[record_type](fields)  # type: ignore[no-any-return]
    except BadFrame:
        raise
    except (
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OverflowError,
        MemoryError,
        struct.error,
    ) as error:
        raise BadFrame("not_avro", f"{type(error).__name__}: {error}") from error
    except (fastavro.read.SchemaResolutionError, UnicodeDecodeError) as error:
        raise BadFrame("not_avro", str(error)) from error


def _writer_schema(
    record_type: type, data: bytes, body: io.BytesIO, registry: Registry | None
) -> Any:
    if data[:2] == SINGLE_OBJECT_MARKER and len(data) >= 10:
        body.seek(10)
        known = _readers(record_type).get(data[2:10])
        if known is None:
            raise BadFrame(
                "schema_unknown",
                f"fingerprint {data[2:10].hex()} is no version of {record_type.__name__}",
            )
        return known
    if data[:1] == CONFLUENT_MAGIC and len(data) >= 5:
        if registry is None:
            raise BadFrame(
                "schema_unknown",
                "Confluent framing, but no SIGHTLINE_SCHEMA_REGISTRY_URL is set",
            )
        body.seek(5)
        return _foreign_reader(
            json.dumps(registry.schema_for(struct.unpack(">I", data[1:5])[0]))
        )
    raise BadFrame(
        "not_avro",
        f"starts with {data[:4].hex(' ')}, neither single-object encoding nor Confluent framing",
    )


def _without_logical_types(schema: Any) -> Any:
    # Plain longs in and out: fastavro would make a datetime of every timestamp.
    if isinstance(schema, dict):
        return {
            key: _without_logical_types(value)
            for key, value in schema.items()
            if key != "logicalType"
        }
    if isinstance(schema, list):
        return [_without_logical_types(part) for part in schema]
    return schema


def _frame_to_dict(frame: records.Frame) -> dict[str, Any]:
    return _flat(frame)


def _frame_from_dict(fields: dict[str, Any]) -> records.Frame:
    return records.Frame(
        **{
            **fields,
            "source_kind": records.SourceKind(fields["source_kind"]),
            "encoding": records.Encoding(fields["encoding"]),
        }
    )


def _flat(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _quality(fields: dict[str, Any]) -> records.Quality:
    return records.Quality(
        fields["blur"], fields["brightness"], fields["contrast"], tuple(fields["flags"])
    )


def _microbatch_to_dict(batch: records.MicroBatch) -> dict[str, Any]:
    return {
        **_flat(batch),
        "items": [
            {**_flat(item), "quality": _flat(item.quality)} for item in batch.items
        ],
    }


def _microbatch_from_dict(fields: dict[str, Any]) -> records.MicroBatch:
    items = tuple(
        records.BatchItem(**{**item, "quality": _quality(item["quality"])})
        for item in fields["items"]
    )
    return records.MicroBatch(
        **{
            **fields,
            "items": items,
            "encoding": records.PixelEncoding(fields["encoding"]),
        },
    )


def _label_to_dict(label: records.Label) -> dict[str, Any]:
    return {
        **_flat(label),
        "predictions": [_flat(prediction) for prediction in label.predictions],
        "model": _flat(label.model),
        "quality": _flat(label.quality),
        "source": _flat(label.source),
    }


def _label_from_dict(fields: dict[str, Any]) -> records.Label:
    return records.Label(
        **{
            **fields,
            "decision": records.Decision(fields["decision"]),
            "origin": records.Origin(fields["origin"]),
            "predictions": tuple(
                records.Prediction(**prediction) for prediction in fields["predictions"]
            ),
            "model": records.ModelRef(**fields["model"]),
            "quality": _quality(fields["quality"]),
            "source": records.SourceRef(**fields["source"]),
        }
    )


_TO_DICT: dict[type, Any] = {
    records.Frame: _frame_to_dict,
    records.MicroBatch: _microbatch_to_dict,
    records.Label: _label_to_dict,
}
_FROM_DICT: dict[type, Any] = {
    records.Frame: _frame_from_dict,
    records.MicroBatch: _microbatch_from_dict,
    records.Label: _label_from_dict,
}
