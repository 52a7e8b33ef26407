"""Records as rows of Parquet, and back, byte for byte."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from infra.kafka.records import ConsumedRecord
from schemas import codec
from schemas.codec import Registry
from schemas.errors import BadFrame
from schemas.records import Frame, Micros

SCHEMA = pa.schema(
    [
        pa.field("topic", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("captured_at", pa.timestamp("us", tz="UTC")),
        pa.field("value", pa.binary()),
    ]
)
# What a row takes beside its key, headers and value.
ROW_BYTES = 200


@dataclass(frozen=True, slots=True)
class Row:
    """A record, and what is copied out of it: of a frame the frame's own, of anything else its key and no time."""

    record: ConsumedRecord
    source_id: str
    captured_at: Micros | None
    size_bytes: int


def row_of(record: ConsumedRecord, registry: Registry | None) -> Row:
    """The row of any record. Headers become a list, which can be read more than once."""
    source_id, captured_at = source_of(record, registry)
    headers = None if record.headers is None else list(record.headers)
    record = ConsumedRecord(
        record.topic, record.partition, record.offset, record.timestamp_ms, record.key, record.value, headers
    )
    return Row(record, source_id, captured_at, _size_bytes(record))


def source_of(record: ConsumedRecord, registry: Registry | None) -> tuple[str, Micros | None]:
    """The source of a frame and its capture time; of what is no frame the key as text, and None."""
    try:
        frame = codec.decode(Frame, record.value, registry)
    except BadFrame:
        return (record.key or b"").decode(errors="replace"), None
    return frame.source_id, frame.captured_at


def table_of(rows: Sequence[Row]) -> pa.Table:
    """One row group."""
    records = [row.record for row in rows]
    columns = [
        pa.array([record.topic for record in records], pa.string()),
        pa.array([record.partition for record in records], pa.int32()),
        pa.array([record.offset for record in records], pa.int64()),
        pa.array([record.timestamp_ms for record in records], pa.timestamp("ms", tz="UTC")),
        pa.array([record.key for record in records], pa.binary()),
        pa.array([_pairs(record) for record in records], SCHEMA.field("headers").type),
        pa.array([row.source_id for row in rows], pa.string()),
        pa.array([row.captured_at for row in rows], pa.timestamp("us", tz="UTC")),
        pa.array([record.value for record in records], pa.binary()),
    ]
    return pa.table(columns, schema=SCHEMA)


def records_of(table: pa.Table) -> Iterator[ConsumedRecord]:
    """The records of a row group, in its order."""
    columns = [
        table.column("topic").to_pylist(),
        table.column("partition").to_pylist(),
        table.column("offset").to_pylist(),
        table.column("timestamp").cast(pa.int64()).to_pylist(),
        table.column("key").to_pylist(),
        table.column("headers").to_pylist(),
        table.column("value").to_pylist(),
    ]
    for topic, partition, offset, timestamp_ms, key, pairs, value in zip(*columns, strict=True):
        headers = None if pairs is None else [(pair["name"], pair["value"]) for pair in pairs]
        yield ConsumedRecord(topic, partition, offset, timestamp_ms, key, value, headers)


def row_groups(rows: list[Row], max_bytes: int) -> Iterator[list[Row]]:
    """The rows by source, each source in the order of its offsets; a group holds one source and at most `max_bytes`.

    A row that is larger than that alone is a group of its own. The list is emptied, so that rows are freed in between.
    """
    by_source: dict[str, list[Row]] = {}
    for row in rows:
        by_source.setdefault(row.source_id, []).append(row)
    rows.clear()
    for source_id in sorted(by_source):
        group: list[Row] = []
        size_bytes = 0
        for row in by_source.pop(source_id):
            if group and size_bytes + row.size_bytes > max_bytes:
                yield group
                group, size_bytes = [], 0
            group.append(row)
            size_bytes += row.size_bytes
        yield group


def _pairs(record: ConsumedRecord) -> list[dict[str, str | bytes | None]] | None:
    return None if record.headers is None else [{"name": name, "value": value} for name, value in record.headers]


def _size_bytes(record: ConsumedRecord) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in record.headers or ())
    return ROW_BYTES + len(record.key or b"") + len(record.value or b"") + headers
