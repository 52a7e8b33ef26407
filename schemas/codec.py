"""Records to bytes and back: Avro single-object encoding, or Confluent's wire format with a registry.

Single-object encoding: `C3 01`, the schema's CRC-64-AVRO fingerprint (8 bytes, little endian), the Avro body
(Avro 1.11 specification, "Single-object encoding"). Confluent: `00`, the schema id (4 bytes, big endian), the body.
Readers accept both, and every version in `schemas/history/`.
"""

import functools
import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import fastavro

from schemas import avro_fields, foreign, records, replays
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame, UnknownVersion

SINGLE_OBJECT_MARKER = b"\xc3\x01"
CONFLUENT_MAGIC = b"\x00"
HERE = Path(__file__).parent

Schema = dict[str, Any]
RecordT = TypeVar(
    "RecordT",
    records.Frame,
    records.MicroBatch,
    records.Label,
    records.ProcessStatus,
    replays.ReplayProgress,
    replays.ReplayRequest,
)
Record = (
    records.Frame
    | records.MicroBatch
    | records.Label
    | records.ProcessStatus
    | replays.ReplayProgress
    | replays.ReplayRequest
)


class Registry(Protocol):
    """The part of a schema registry that the codec uses. Implementations cache, so that a call is rarely a request."""

    def id_for(self, subject: str, schema: Schema) -> int: ...

    def schema_for(self, schema_id: int) -> Schema: ...


def schema_of(record_type: type[Record]) -> Schema:
    """The present schema, from `schemas/*.avsc`."""
    loaded: Schema = json.loads((HERE / f"{_name(record_type)}.avsc").read_text())
    return loaded


def history_of(record_type: type[Record]) -> list[Schema]:
    """Every version of the schema that was ever in use, oldest first, the present one last."""
    files = sorted((HERE / "history" / _name(record_type)).glob("*.avsc"), key=lambda path: int(path.stem))
    return [json.loads(path.read_text()) for path in files]


def fingerprint(schema: Schema) -> bytes:
    """CRC-64-AVRO of the schema's parsing canonical form, little endian, 8 bytes."""
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


@dataclass(frozen=True)
class _Format:
    """How one record type is written and read: its parsed schema, its prefix, every version by fingerprint."""

    schema: Schema
    parsed: Any
    prefix: bytes
    versions: dict[bytes, Any]
    to_fields: Callable[[Any], Schema]
    from_fields: Callable[[Schema], Any]


def _name(record_type: type[Record]) -> str:
    return record_type.__name__.lower()


@functools.cache
def _formats() -> dict[type, _Format]:
    converters: dict[type[Record], tuple[Callable[[Any], Schema], Callable[[Schema], Any]]] = {
        records.Frame: (avro_fields.flat, avro_fields.frame),
        records.MicroBatch: (avro_fields.microbatch_fields, avro_fields.microbatch),
        records.Label: (avro_fields.label_fields, avro_fields.label),
        records.ProcessStatus: (avro_fields.status_fields, avro_fields.status),
        replays.ReplayProgress: (avro_fields.progress_fields, avro_fields.progress),
        replays.ReplayRequest: (avro_fields.flat, avro_fields.request),
    }
    return {record_type: _format(record_type, *pair) for record_type, pair in converters.items()}


def _format(
    record_type: type[Record], to_fields: Callable[[Any], Schema], from_fields: Callable[[Schema], Any]
) -> _Format:
    schema = schema_of(record_type)
    parsed = foreign.parse(schema)
    versions = {fingerprint(version): foreign.parse(version) for version in history_of(record_type)}
    versions[fingerprint(schema)] = parsed  # the same object, because fastavro compares the two schemas at every read
    return _Format(schema, parsed, SINGLE_OBJECT_MARKER + fingerprint(schema), versions, to_fields, from_fields)


def _written_as(record: Record) -> _Format:
    """The oldest version that holds the record, so that workers of the version before go on beside newer stages."""
    if isinstance(record, records.MicroBatch) and all(item.replay_of is None for item in record.items):
        return _first_batches()
    return _formats()[type(record)]


@functools.cache
def _first_batches() -> _Format:
    form, schema = _formats()[records.MicroBatch], history_of(records.MicroBatch)[0]
    parsed = form.versions[fingerprint(schema)]
    return replace(form, schema=schema, parsed=parsed, prefix=SINGLE_OBJECT_MARKER + fingerprint(schema))


def _read_as(form: _Format, writer_schema: Any) -> Any:
    """The reader's schema. Batches of the first version are read as such: resolving each costs more than its items."""
    first = _first_batches().parsed if form.from_fields is avro_fields.microbatch else None
    return writer_schema if writer_schema is first else form.parsed


def encode(record: Record, registry: Registry | None = None, topic: str = "") -> bytes:
    """The bytes of the record; with a registry in Confluent's wire format, under the subject `<topic>-value`."""
    form = _written_as(record)
    prefix = form.prefix
    if registry is not None:
        prefix = CONFLUENT_MAGIC + struct.pack(">I", registry.id_for(f"{topic}-value", form.schema))
    fields = form.to_fields(record)
    # The megabytes of a batch are copied once, here; fastavro's writer would copy them three times.
    pixels = fields["pixels"] if isinstance(record, records.MicroBatch) else None
    if pixels is not None:
        fields["pixels"] = b""
    out = io.BytesIO()
    out.write(prefix)
    fastavro.schemaless_writer(out, form.parsed, fields)
    if pixels is None:
        return out.getvalue()
    # Avro writes one field after the other and `pixels` is the last: empty, it is one zero byte, its length.
    return b"".join((out.getbuffer()[:-1], _avro_long(len(pixels)), pixels))


def decode(record_type: type[RecordT], data: bytes | None, registry: Registry | None = None) -> RecordT:
    """The record in `data`, in either framing and any known version of its schema.

    Raises BadFrame: `empty`, `not_avro` (no known framing, or a body that does not fit its schema), `schema_unknown`;
    UnknownVersion, which is a BadFrame, where the framing names a version of the record that is not known here.
    """
    form = _formats()[record_type]
    writer_schema, start = _writer_schema(form, data, registry)
    assert data is not None
    record: RecordT
    record, end = _read(_read_as(form, writer_schema), form.from_fields, writer_schema, data, start)
    if end != len(data):
        raise BadFrame("not_avro", f"{len(data) - end} bytes behind the record")
    return record


def decode_without_pixels(data: bytes | None, registry: Registry | None = None) -> records.MicroBatch:
    """The frames of a batch that is damaged in its pixels or behind them; `pixels` are empty.

    `pixels` is the last field, so all others are whole where the bytes reach that far. Raises BadFrame otherwise.
    """
    form = _formats()[records.MicroBatch]
    writer_schema, start = _writer_schema(form, data, registry)
    assert data is not None
    if not isinstance(writer_schema, dict) or writer_schema["fields"][-1]["name"] != "pixels":
        raise BadFrame("not_avro", "the pixels are not the last field of that version")
    schemas = _without_last_field(_read_as(form, writer_schema)), _without_last_field(writer_schema)
    batch: records.MicroBatch
    batch, _ = _read(
        schemas[0], lambda fields: avro_fields.microbatch({**fields, "pixels": b""}), schemas[1], data, start
    )
    return batch


def _read(
    schema: Any, from_fields: Callable[[Schema], Any], writer_schema: Any, data: bytes, start: int
) -> tuple[Any, int]:
    """The record whose Avro body begins at `start`, and the position behind it."""
    body = foreign.Body(data) if data[:1] == CONFLUENT_MAGIC else io.BytesIO(data)
    body.seek(start)
    try:
        fields: Any = fastavro.schemaless_reader(body, writer_schema, schema)
        return from_fields(fields), body.tell()
    except (EOFError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, struct.error) as error:
        raise BadFrame("not_avro", foreign.told(f"{type(error).__name__}: {error}")) from error
    except fastavro.read.SchemaResolutionError as error:
        # A schema of the record's own name, from a registry: a version with more than new fields that have defaults.
        is_ours = isinstance(writer_schema, dict) and writer_schema.get("name") == schema["name"]
        raise (UnknownVersion if is_ours else BadFrame)("not_avro", foreign.told(str(error))) from error


def _without_last_field(schema: Any) -> Any:
    return {**schema, "fields": schema["fields"][:-1]}


def _writer_schema(form: _Format, data: bytes | None, registry: Registry | None) -> tuple[Any, int]:
    """The schema that `data` was written with, and the position of the Avro body."""
    if not data:
        raise BadFrame("empty", "the record has no value")
    if data[:2] == SINGLE_OBJECT_MARKER and len(data) >= 10:
        known = form.versions.get(data[2:10])
        if known is None:
            raise _unknown_fingerprint(form, data[2:10])
        return known, 10
    if data[:1] == CONFLUENT_MAGIC and len(data) >= 5:
        schema_id = struct.unpack(">I", data[1:5])[0]
        try:
            if registry is None:
                told = f"schema id {schema_id}, but no SIGHTLINE_SCHEMA_REGISTRY_URL is set"
                raise UnknownVersion("schema_unknown", told)
            return foreign.parse_foreign(registry.schema_for(schema_id)), 5
        except UnknownVersion as unknown:
            if 0 < schema_id < 2**31:
                raise
            # Ids are positive ints of Java. Five zeros are the beginning of many files, and of no record of ours.
            raise BadFrame(unknown.reason, unknown.detail) from None
    raise BadFrame("not_avro", f"starts with {data[:4].hex(' ')}, neither single-object encoding nor Confluent framing")


def _unknown_fingerprint(form: _Format, found: bytes) -> BadFrame:
    """A version that is not known here, unless it is known of another record: then the record lies on a wrong topic."""
    name = form.schema["name"]
    others = [other.schema["name"] for other in _formats().values() if found in other.versions]
    if others:
        return BadFrame("schema_unknown", f"fingerprint {found.hex()} is that of a {others[0]}, and no {name}")
    return UnknownVersion("schema_unknown", f"fingerprint {found.hex()} is no version of {name}")


def _avro_long(number: int) -> bytes:
    """A length, which is not negative, as a zig-zag varint of Avro."""
    number, out = number << 1, bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def place_bytes(place: Coordinates) -> bytes:
    """How a place stands in a Label, as `source` and as `replay_of`: a search need not decode labels without them."""
    topic = place.topic.encode()
    return _avro_long(len(topic)) + topic + _avro_long(place.partition) + _avro_long(place.offset)
