"""What a worker makes of a record: work, or a reason."""

from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import REGISTRY

from inference.device.jpeg import DecodedRow
from inference.device.runs import Part
from inference.device.staging import Run, Staging
from inference.device.work import FrameFailure, Work
from inference.models.null import INFO
from inference.worker.read_batch import read_work
from infra.failures.unknown_versions import VersionGuard
from schemas import codec
from schemas.cache_headers import NO_CACHE, PREPARATION
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame, Stalled
from schemas.fields import MAX_ID_BYTES
from schemas.headers import REPLAY_ID, Header
from schemas.records import MicroBatch, PixelEncoding, Quality
from tests.support.batches import ROW_BYTES, batch_record, frame, micro_batch

GUARD = VersionGuard("this worker", ["0/8"])


def read_value(value: bytes | None, *headers: Header, offset: int = 7) -> Work:
    return read_work(batch_record(TopicPartition("batches", 0), offset, value, *headers), 1, INFO.input, GUARD)


def read(batch: MicroBatch) -> Work:
    return read_value(codec.encode(batch))


def reasons(work: Work) -> dict[int, str]:
    return {
        index: outcome.error.reason
        for index, outcome in work.outcomes.items()
        if isinstance(outcome, FrameFailure) and isinstance(outcome.error, BadFrame)
    }


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"<html>", "not_avro"),
        (b"\xc3\x01" + bytes(5), "not_avro"),
        (codec.encode(frame("cam-1", 1)), "schema_unknown"),
        (bytes(100), "schema_unknown"),
        (b"\x00\xff\xff\xff\xffmore", "schema_unknown"),
        (codec.encode(micro_batch("raw", 0, [1]))[:40], "not_avro"),
    ],
    ids=["none", "empty", "html", "short", "a frame", "zeros", "no id of a schema", "cut before its frames"],
)
def test_no_batch(value: bytes | None, reason: str) -> None:
    work = read_value(value)
    assert work.bad is not None
    assert work.bad.reason == reason
    assert work.record.value == (value or b"")
    assert work.is_complete


@pytest.mark.parametrize("value", [b"\xc3\x01" + bytes(20), b"\x00\x00\x00\x00\x01more"], ids=["ours", "registry"])
def test_a_version_that_is_not_known_stops_the_worker_unless_its_place_is_passed_over(value: bytes) -> None:
    with pytest.raises(Stalled, match=r"^batches/0 offset 7 has a schema version that .* --pass-over 0/7, and"):
        read_value(value)
    work = read_value(value, offset=8)
    assert work.bad is not None
    assert work.bad.reason == "schema_unknown"
    assert work.record.value == value


@pytest.mark.parametrize("lacking", [5, 2 * ROW_BYTES, 2 * ROW_BYTES + 1])
def test_the_frames_of_a_batch_whose_pixels_are_damaged_fail_each(lacking: int) -> None:
    work = read_value(codec.encode(micro_batch("raw", 3, [10, 11]))[:-lacking])
    assert reasons(work) == {0: "damaged_batch", 1: "damaged_batch"}
    assert (work.bad, work.source_of(1)) == (None, Coordinates("raw", 3, 11))


def test_the_frames_of_a_batch_with_bytes_behind_it_fail_each() -> None:
    work = read_value(codec.encode(micro_batch("raw", 3, [10, 11])) + b"more")
    assert reasons(work) == {0: "damaged_batch", 1: "damaged_batch"}
    assert "batches/0 offset 7 is damaged: not_avro: 4 bytes behind" in str(work.outcomes[0])


def test_how_its_pixels_were_made_is_read_with_the_batch() -> None:
    value = codec.encode(micro_batch("frames.raw", 3, [1]))
    assert read_value(value, (PREPARATION, b"0f" * 16)).preparation == "0f" * 16
    assert read_value(value).preparation is None  # of a stage of an earlier version


@pytest.mark.parametrize(
    ("lane", "headers", "may"),
    [
        ("live", [], True),
        ("live", [(REPLAY_ID, b"r1")], True),
        ("live", [(REPLAY_ID, b"r1"), NO_CACHE], False),
        ("live", [NO_CACHE], False),
        ("replay", [(REPLAY_ID, b"r1")], True),
        ("replay", [(REPLAY_ID, b"r1"), NO_CACHE], False),
        ("replay", [], False),
    ],
)
def test_whether_its_labels_may_go_to_the_cache(lane: str, headers: list[Header], may: bool) -> None:
    value = codec.encode(replace(micro_batch("frames.raw", 3, [1]), lane=lane))
    assert read_value(value, *headers).may_be_cached is may


def test_a_sound_batch_waits_for_the_model() -> None:
    work = read(micro_batch("raw", 3, [10, 11, 12]))
    assert work.rows == (0, 1, 2)
    assert not work.is_complete
    assert work.source_of(1).offset == 11
    assert (work.record.offset, work.generation) == (7, 1)
    assert work.record.value is None, "the batch is not held twice"


def changed(
    offset: int = 11, frame_id: str = "a/1/11", source_id: str = "a", flags: tuple[str, ...] = ()
) -> MicroBatch:
    """A batch whose second frame is said to be that."""
    batch = micro_batch("raw", 3, [10, 11])
    second = replace(batch.items[1], offset=offset, frame_id=frame_id, source_id=source_id)
    return replace(batch, items=(batch.items[0], replace(second, quality=replace(second.quality, flags=flags))))


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        *((replace(micro_batch("raw", 3, [1]), source_topic=name), "source_topic")
          for name in ("", ".", "..", "a topic", "raw\n", "t" * 250, "t\N{LATIN SMALL LETTER E WITH ACUTE}")),
        (replace(micro_batch("", 3, []), pixels=b""), "source_topic"),
        (replace(micro_batch("raw", 3, [1]), source_partition=-1), "source_partition"),
    ],
)  # fmt: skip
def test_a_source_that_kafka_cannot_have_makes_a_batch_bad_as_a_whole(batch: MicroBatch, told: str) -> None:
    """Its frames are not known."""
    work = read(batch)
    assert work.bad is not None
    assert work.bad.reason == "bad_fields"
    assert told in work.bad.detail
    assert work.record.value == codec.encode(batch)
    assert work.items == ()


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        (changed(offset=-1), "offset"),
        (changed(offset=-(2**63)), "offset"),
        (changed(frame_id="f" * 1025), "frame_id"),
        (changed(source_id="\N{LATIN SMALL LETTER E WITH ACUTE}" * 513), "source_id"),
        (changed(flags=("f" * 256,)), "flags"),
        (changed(flags=("f",) * 129), "flags"),
    ],
)
def test_a_field_that_a_label_or_a_look_up_cannot_hold_costs_its_own_frame(batch: MicroBatch, told: str) -> None:
    work = read(batch)
    assert reasons(work) == {1: "bad_fields"}
    assert told in str(work.outcomes[1])
    assert work.rows == (0,)


def test_a_partition_of_more_bits_than_kafka_has_is_bad() -> None:
    """fastavro neither writes nor reads an int as one of 32 bits."""
    work = read(replace(micro_batch("raw", 3, [1]), source_partition=2**31))
    assert work.bad is not None
    assert work.bad.reason == "bad_fields"


def test_a_replay_id_over_a_kib_is_bad_for_each_frame() -> None:
    value = codec.encode(micro_batch("raw", 3, [1, 2]))
    assert read_value(value, (REPLAY_ID, b"r" * 1024)).replay_id == "r" * 1024
    assert reasons(read_value(value, (REPLAY_ID, b"r" * 1025))) == {0: "bad_fields", 1: "bad_fields"}


def test_fields_at_their_limits_are_sound() -> None:
    batch = changed(2**63 - 1, "f" * MAX_ID_BYTES, "s" * MAX_ID_BYTES, ("f" * 127, "g" * 127))
    work = read(replace(batch, source_topic="t" * 249, source_partition=2**31 - 1))
    assert work.rows == (0, 1)


def test_an_empty_batch_is_done_at_once() -> None:
    assert read(micro_batch("raw", 3, [])).is_complete


@pytest.mark.parametrize(
    ("start", "length", "reason"),
    [
        (ROW_BYTES * 2, ROW_BYTES + 1, "out_of_bounds"),
        (ROW_BYTES * 9, ROW_BYTES, "out_of_bounds"),
        (-1, ROW_BYTES, "out_of_bounds"),
        (0, 0, "out_of_bounds"),
        (0, -5, "out_of_bounds"),
        (0, ROW_BYTES - 1, "wrong_length"),
        (2**62, 2**62, "out_of_bounds"),
    ],
)
def test_a_frame_whose_bytes_cannot_be_its_own_fails_alone(start: int, length: int, reason: str) -> None:
    batch = micro_batch("raw", 3, [10, 11, 12])
    items = list(batch.items)
    items[1] = replace(items[1], start=start, length=length)
    work = read(replace(batch, items=tuple(items)))
    assert reasons(work) == {1: reason}
    assert work.rows == (0, 2)


def test_images_of_another_size_all_fail() -> None:
    work = read(replace(micro_batch("raw", 3, [10, 11]), width=112))
    assert reasons(work) == {0: "wrong_size", 1: "wrong_size"}
    assert work.is_complete


def lay_out(*works: Work, max_rows: int = 8, decode: bool = False) -> Run:
    def decode_jpeg(data: bytes) -> DecodedRow:
        if data.startswith(b"bad"):
            raise BadFrame("decode_failed")
        return DecodedRow(data[:1] * ROW_BYTES, Quality(1.0, 2.0, 3.0))

    staging = Staging(INFO.input, max_rows, 0, decode_jpeg=decode_jpeg if decode else None)
    for work in works:
        staging.put(work)
    staging.close()
    return staging._fill([Part(work, 0, len(work.rows)) for work in works], 0)


def test_images_are_gathered_row_by_row_wherever_they_lie() -> None:
    first, second = micro_batch("raw", 3, [10, 11, 12]), micro_batch("raw", 4, [20, 21])
    shuffled = replace(first, items=(first.items[2], first.items[0], first.items[1]))
    run = lay_out(read(shuffled), read_value(b"bad"), read(second))
    assert run.pixels[:, 0].tolist() == [12, 10, 11, 20, 21]
    assert run.pixels.shape == (5, ROW_BYTES)
    assert all(part.work.pixels == b"" for part in run.parts)


def test_the_wait_for_the_device_is_that_of_the_oldest_batch_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def total() -> float:
        return REGISTRY.get_sample_value("sightline_device_wait_seconds_sum") or 0.0

    clock = iter([1_000.0, 1_400.0, 1_500.0, 1_900.0])
    monkeypatch.setattr("inference.device.staging.now_ms", lambda: next(clock))
    before, staging = total(), Staging(INFO.input, 8, 0)
    for partition in (3, 4):
        staging.put(read(micro_batch("raw", partition, [10, 11])))
    parts = staging._next_parts()
    assert parts is not None
    staging._runs.put(staging._fill(parts, 0))
    assert staging.next_run() is not None
    assert total() - before == pytest.approx(0.9)


def test_jpegs_are_decoded_here_and_bad_ones_fail_alone() -> None:
    batch = micro_batch("raw", 3, [1, 2, 3], pixels=lambda offset: b"bad" if offset == 2 else bytes([offset, 9]))
    run = lay_out(read(replace(batch, encoding=PixelEncoding.JPEG, width=640, height=480)), decode=True)
    assert {row: error.reason for row, error in run.rejected.items()} == {1: "decode_failed"}
    assert run.qualities[2] == Quality(1.0, 2.0, 3.0)
    assert np.unique(run.pixels[2]).tolist() == [3]


@pytest.mark.parametrize("place", [Coordinates("no/topic", 0, 1), Coordinates("raw", -1, 1), Coordinates("", 0, 0)])
def test_a_frame_that_repeats_what_cannot_be_is_refused(place: Coordinates) -> None:
    batch = micro_batch("raw", 3, [10, 11])
    items = (replace(batch.items[0], replay_of=place), replace(batch.items[1], replay_of=Coordinates("raw", 0, 5)))
    assert reasons(read(replace(batch, items=items))) == {0: "bad_fields"}
