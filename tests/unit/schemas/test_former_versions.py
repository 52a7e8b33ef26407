"""Records of former versions stay readable, and readers of former versions read ours where they know our schema."""

import io
from dataclasses import replace
from typing import Any

import fastavro
import pytest

from schemas import codec, foreign, records, replays
from schemas.coordinates import Coordinates
from schemas.errors import UnknownVersion

# What the first version wrote; a fingerprint never changes, so a file of schemas/history/ is never edited.
LABEL_1 = bytes.fromhex(
    "c301fb83ad46c8f1eabb10646f636b2f312f3208646f636b8080f28183898506a0c290828389850602021c6c6f775f636f6e666964656e6365"
    "02023708636f636b000000000000d03f0000086e756c6c0231086e6f6e65000000000000f83f00000000000004400000000000000c40020864"
    "61726b00146672616d65732e7261770654020a616761696e"
)
BATCH_1 = bytes.fromhex(
    "c3015f6f52ecb7f75b550c332d34322d30086c697665040404146672616d65732e72617706025410646f636b2f312f3208646f636b8080f281"
    "83898506000102030405060708090a0b0c0d0e0f000000000000f83f00000000000004400000000000000c4002086461726b00000600066162"
    "63"
)
FINGERPRINTS = {
    records.Frame: ["d44f1fba922eabf1"],
    records.MicroBatch: ["5f6f52ecb7f75b55", "1d3fe2fed7297f62"],
    records.Label: ["fb83ad46c8f1eabb", "fcf610e193d89c6e"],
    records.ProcessStatus: ["c31b1da8098c74cc", "20001f3341800af1"],
    replays.ReplayProgress: ["9b07f412cfe3bad7"],
    replays.ReplayRequest: ["474ab61ae94f1a3c"],
}
QUALITY = records.Quality(1.5, 2.5, 3.5, ("dark",))
LABEL = records.Label(
    "dock/1/2",
    "dock",
    1_700_000_000_000_000,
    1_700_000_000_250_000,
    records.Decision.REVIEW,
    "low_confidence",
    (records.Prediction("7", "cock", 0.25),),
    records.Origin.MODEL,
    records.ModelRef("null", "1", "none"),
    QUALITY,
    Coordinates("frames.raw", 3, 42),
    "again",
)
ITEM = records.BatchItem(42, "dock/1/2", "dock", 1_700_000_000_000_000, bytes(range(16)), QUALITY, 0, 3)
BATCH = records.MicroBatch("3-42-0", "live", records.PixelEncoding.JPEG, 2, 2, "frames.raw", 3, (ITEM,), b"abc")
REPEATING = replace(BATCH, items=(replace(ITEM, replay_of=Coordinates("frames.raw", 1, 2)),))


@pytest.mark.parametrize("record_type", FINGERPRINTS)
def test_no_version_that_was_ever_written_is_changed(record_type: type[codec.Record]) -> None:
    found = [codec.fingerprint(schema).hex() for schema in codec.history_of(record_type)]
    assert found == FINGERPRINTS[record_type]


def test_a_label_of_the_first_version_has_the_defaults_of_the_new_fields() -> None:
    label = codec.decode(records.Label, LABEL_1)
    assert label == LABEL
    assert (label.score, label.threshold, label.score_kind) == (None, None, None)
    assert (label.revision, label.replay_of, label.detections) == (0, None, ())


def test_a_micro_batch_of_the_first_version_is_read_also_when_it_is_damaged() -> None:
    assert codec.decode(records.MicroBatch, BATCH_1) == BATCH
    assert codec.decode_without_pixels(BATCH_1[:-1]).items == BATCH.items


def test_a_micro_batch_that_repeats_nothing_is_written_for_workers_of_the_first_version_too() -> None:
    assert codec.encode(BATCH) == BATCH_1
    assert codec.encode(REPEATING)[2:10].hex() == FINGERPRINTS[records.MicroBatch][1]
    assert codec.decode(records.MicroBatch, codec.encode(REPEATING)) == REPEATING


@pytest.mark.parametrize(("record_type", "record"), [(records.Label, LABEL), (records.MicroBatch, REPEATING)])
def test_a_reader_of_the_first_version_stops_without_a_registry_and_needs_no_upgrade_with_one(
    record_type: type[Any], record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = codec.encode(record)
    present, first = codec.schema_of(record_type), codec.history_of(record_type)[0]
    # As a program of the first version resolves what it finds under our id in the registry.
    read = fastavro.schemaless_reader(io.BytesIO(value[10:]), foreign.parse(present), foreign.parse(first))
    assert isinstance(read, dict)
    assert list(read) == [field["name"] for field in first["fields"]]
    form = codec._formats()[record_type]
    monkeypatch.delitem(form.versions, codec.fingerprint(present))
    with pytest.raises(UnknownVersion):
        codec.decode(record_type, value)
