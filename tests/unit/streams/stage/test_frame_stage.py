"""The data path with a producer that answers when the test says so: who is finished when, and in which order."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from infra.failures.outcomes import FrameRecord
from schemas import codec, headers
from schemas.cache_headers import preparation_headers, preparation_of
from schemas.clocks import read_clock
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame, Stalled
from schemas.records import Encoding, Frame, Label, MicroBatch, Origin, SourceKind
from streams.stage.frames import PendingFrame
from tests.support.stage_rig import PREPARATION, FakeCache, Rig


async def test_a_frame_is_finished_only_by_the_report_of_its_batch() -> None:
    rig = Rig()
    rig.take(0)
    rig.take(1)
    await rig.settle()
    (sent,) = rig.sender.to("frames.batches")
    assert (rig.finished, rig.stage.gate.frames) == ([], 2)
    batch = codec.decode(MicroBatch, sent.value)
    assert [item.offset for item in batch.items] == [0, 1]
    assert (sent.record.key, sent.record.partition) == ("0", 0)
    assert preparation_of(sent.record.headers) == PREPARATION
    await rig.written()
    assert (rig.finished, rig.stage.gate.frames) == ([0, 1], 0)


async def test_bad_frames_are_dead_letters_with_their_own_bytes() -> None:
    rig = Rig()
    rig.take(0, value=b"no avro at all")
    rig.take(1, image=b"bad")
    rig.take(2)
    await rig.settle()
    dead = {headers.read_failure(one.record.headers).source.offset: one for one in rig.sender.to("frames.dead")}  # type: ignore[union-attr]
    assert sorted(dead) == [0, 1]
    assert dead[0].value == b"no avro at all"
    reasons = [headers.to_map(dead[offset].record.headers)[headers.ERROR_CLASS] for offset in (0, 1)]
    assert reasons == [b"not_avro", b"truncated"]
    await rig.written()
    assert sorted(rig.finished) == [0, 1, 2]


async def test_a_frame_whose_error_may_pass_goes_to_the_retry_topic() -> None:
    rig = Rig()
    rig.take(0, image=b"no room")
    await rig.settle()
    (sent,) = rig.sender.to("frames.retry")
    assert headers.attempt_of(sent.record.headers) == 1
    await rig.written()
    assert rig.finished == [0]


async def test_hits_become_labels_in_one_round_trip_and_are_never_decoded() -> None:
    cache = FakeCache(hits=2)
    rig = Rig(cache)
    for offset in range(2):
        rig.take(offset, image=b"bad")  # decoding it would fail
    rig.take(2)
    await rig.settle()
    labels = [codec.decode(Label, one.value) for one in rig.sender.to("labels")]
    assert [(label.origin, label.source.offset) for label in labels] == [
        (Origin.CACHE_EXACT, 0),
        (Origin.CACHE_EXACT, 1),
    ]
    assert {(label.score, label.threshold, label.score_kind) for label in labels} == {(0.9, 0.35, "probability")}
    assert cache.calls == 1
    assert len(rig.sender.to("frames.batches")) == 1
    before = end_to_end("CACHE_EXACT")
    await rig.written()
    assert sorted(rig.finished) == [0, 1, 2]
    assert end_to_end("CACHE_EXACT") - before == 2


def end_to_end(origin: str) -> float:
    name = "sightline_end_to_end_latency_seconds_count"
    return REGISTRY.get_sample_value(name, {"origin": origin}) or 0.0


async def test_a_cached_label_tells_the_time_of_its_frames_record_where_the_clock_of_its_camera_is_off() -> None:
    rig = Rig(FakeCache(hits=3))
    rig.take(0, recorded_ms=1_764_000_000_000)
    rig.take(1)
    await rig.settle()
    assert [read_clock(one.record.headers) for one in rig.sender.to("labels")] == [1_764_000_000_000, None]


async def test_a_cached_label_for_review_is_finished_when_both_topics_have_it() -> None:
    rig = Rig(FakeCache(hits=1), infer={"min_probability": 0.99})
    rig.take(0)
    await rig.settle()
    labels, review = rig.sender.to("labels"), rig.sender.to("labels.review")
    assert len(labels) == len(review) == 1
    labels[0].written()
    await rig.settle()
    assert rig.finished == []
    review[0].written()
    await rig.settle()
    assert rig.finished == [0]


async def test_batches_of_a_partition_leave_in_order_though_windows_overlap() -> None:
    rig = Rig(stream={"max_buffer_frames": 16})
    for offset in range(48):
        rig.take(offset)
    await rig.settle()
    batches = [codec.decode(MicroBatch, one.value) for one in rig.sender.to("frames.batches")]
    assert [item.offset for batch in batches for item in batch.items] == list(range(48))
    assert len(batches) > 2


async def test_a_full_producer_is_waited_for() -> None:
    rig = Rig(busy=20)
    rig.take(0)
    await rig.settle()
    assert len(rig.sender.sent) == 1
    assert rig.failures == []


async def test_an_output_that_is_finally_refused_ends_the_process_and_finishes_nothing() -> None:
    rig = Rig()
    rig.take(0)
    await rig.settle()
    rig.sender.sent[0].refused()
    await rig.settle()
    assert isinstance(rig.failures[0], Stalled)
    assert rig.finished == []


async def test_after_a_refusal_nothing_is_written_that_would_overtake_what_was_not() -> None:
    rig = Rig(stream={"max_buffer_frames": 16})
    rig.sender.refusals.append(OSError("refused for once"))
    for offset in range(16):
        rig.take(offset)
    await rig.settle()
    assert rig.sender.sent == []
    assert {str(failure) for failure in rig.failures} == {"refused for once"}


async def test_when_nearly_all_frames_fail_the_stage_stops_and_writes_no_more_dead_letters() -> None:
    rig = Rig(breaker={"window_frames": 10, "max_bad_share": 0.5}, stream={"max_buffer_frames": 16})
    for offset in range(24):
        rig.take(offset, image=b"bad")
    async with asyncio.timeout(20):
        while not rig.failures:
            await asyncio.sleep(0.005)
    assert isinstance(rig.failures[0], Stalled)
    assert "truncated" in str(rig.failures[0])
    assert len(rig.sender.to("frames.dead")) < 24


async def test_the_gate_closes_when_enough_is_held() -> None:
    rig = Rig(stream={"max_buffer_frames": 4})
    for offset in range(4):
        rig.take(offset)
    assert not rig.stage.gate.is_open
    waiting = asyncio.ensure_future(rig.stage.gate.wait())
    await rig.settle()
    assert not waiting.done()
    await rig.written()
    await asyncio.wait_for(waiting, 1)


async def test_a_jpeg_batch_that_no_record_can_hold_is_a_dead_letter() -> None:
    rig = Rig(topics={"max_frame_bytes": 2_000}, stream={"encoding": "JPEG"})
    rig.take(0, image=b"x" * 400)
    await rig.settle()
    (sent,) = rig.sender.to("frames.dead")
    assert headers.to_map(sent.record.headers)[headers.ERROR_CLASS] == b"too_large"


SOUND = Frame("cam/1/1", "cam", SourceKind.CAMERA, 1, 1, 7, 8, Encoding.JPEG, b"sound")


@pytest.mark.parametrize(
    "changes",
    [
        {"frame_id": "x" * 5_000_000},
        {"source_id": "é" * 513},
        {"captured_at": 1_700_000_000 * 10**9},
        {"captured_at": -1},
        {"received_at": 253_402_300_800_000_000},
    ],
    ids=["frame_id", "source_id", "nanoseconds", "before 1970", "after 9999"],
)
@pytest.mark.parametrize("hits", [0, 3])
async def test_fields_that_nothing_behind_can_carry_or_read_make_a_dead_letter(
    changes: dict[str, Any], hits: int
) -> None:
    rig = Rig(FakeCache(hits))
    value = codec.encode(replace(SOUND, **changes))
    rig.take(0)
    rig.take(1, value=value)
    rig.take(2)
    await rig.settle()
    (dead,) = rig.sender.to("frames.dead")
    assert (dead.value, dead.record.key) == (value, b"cam")
    assert headers.to_map(dead.record.headers)[headers.ERROR_CLASS] == b"bad_fields"
    assert next(iter(changes)).encode() in headers.to_map(dead.record.headers)[headers.ERROR_MESSAGE]
    assert sum(len(name) + len(text) for name, text in dead.record.headers) < 2_000
    await rig.written()
    assert sorted(rig.finished) == [0, 1, 2]


async def test_ids_and_times_at_their_limits_are_labelled() -> None:
    rig = Rig()
    last = 253_402_300_799_999_999
    frame = replace(SOUND, frame_id="é" * 512, source_id="", captured_at=0, received_at=last, uri="u" * 9_000)
    rig.take(0, value=codec.encode(frame))
    await rig.settle()
    assert [one.topic for one in rig.sender.sent] == ["frames.batches"]
    assert len(rig.sender.sent[0].value) < 2_000, "the address stays where the frame is"


async def test_headers_that_no_label_can_carry_are_left_behind() -> None:
    rig = Rig()
    for offset, name in enumerate((headers.TRACEPARENT, headers.REPLAY_ID)):
        record = FrameRecord(
            Coordinates("frames.raw", 0, offset), 99, b"cam", codec.encode(SOUND), [(name, b"x" * 5_000_000)]
        )
        rig.stage.take(PendingFrame(record, lambda offset=offset: rig.finished.append(offset)))  # type: ignore[misc]
    await rig.settle()
    (batch,), (dead,) = rig.sender.to("frames.batches"), rig.sender.to("frames.dead")
    assert batch.record.headers == preparation_headers(PREPARATION)
    assert headers.to_map(dead.record.headers)[headers.ERROR_CLASS] == b"bad_fields"


async def test_batches_fit_into_a_record_whatever_the_settings_allow() -> None:
    rig = Rig(topics={"max_frame_bytes": 20_000}, stream={"max_batch_bytes": 10**9})
    for offset in range(6):
        rig.take(offset, image=b"x" * 700)
    await rig.settle()
    batches = rig.sender.to("frames.batches")
    assert len(batches) > 1
    assert all(len(one.value) < 20_000 for one in batches)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")


async def test_what_is_gone_has_a_dead_letter_and_is_no_frame_for_the_breaker() -> None:
    rig = Rig(breaker={"window_frames": 1, "max_bad_share": 0.1})
    read = rig.stage._frames_read._value.get()
    gone = FrameRecord(Coordinates("frames.raw", 0, 9), 0, b"0", None, None)
    rig.stage.take(PendingFrame(gone, lambda: rig.finished.append(9), gone=BadFrame("frames_skipped", "5 offsets")))
    rig.take(10)
    await rig.settle()
    (dead,) = rig.sender.to("frames.dead")
    failure = headers.read_failure(dead.record.headers)
    assert failure is not None
    assert (failure.error_class, failure.message, failure.stage) == ("frames_skipped", "5 offsets", "stream")
    assert (dead.record.value, rig.failures) == (None, [])
    assert rig.stage._frames_read._value.get() - read == 1
    await rig.written()
    assert sorted(rig.finished) == [9, 10]
