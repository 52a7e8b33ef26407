"""MicroBatches: one partition, one replay id, one attempt each; caps, order and slices hold."""

from unittest.mock import Mock

from hypothesis import given
from hypothesis import strategies as st

from inference.image import ImageInfo, Prepared
from infra.failures.outcomes import FrameRecord
from schemas import codec, headers
from schemas.cache_headers import may_be_cached
from schemas.clocks import read_batch_clocks
from schemas.coordinates import Coordinates
from schemas.records import Encoding, Frame, PixelEncoding, Quality, SourceKind
from streams.stage.frames import PendingFrame, PreparedFrame
from streams.stage.packing import pack

INFO = Mock(spec=ImageInfo)
TRACE_A, TRACE_B = (f"00-{number:032x}-{number:016x}-01" for number in (10, 11))


def prepared(
    offset: int,
    partition: int = 0,
    size: int = 10,
    replay: str = "",
    attempt: int = 0,
    trace: str = "",
    frame_id: str = "",
    recorded_ms: int = 0,
    replay_of: str = "",
    cache: str = "",
) -> PreparedFrame:
    found = [
        (headers.REPLAY_ID, replay.encode()),
        (headers.TRACEPARENT, trace.encode()),
        (headers.REPLAY_OF, replay_of.encode()),
        (headers.CACHE, cache.encode()),
    ]
    record = FrameRecord(
        Coordinates("frames.raw", partition, offset),
        recorded_ms,
        b"cam",
        b"",
        [one for one in found if one[1]],
        attempt,
    )
    frame = Frame(
        frame_id or f"cam/1/{offset}", "cam", SourceKind.CAMERA, 1, offset, 1000 + offset, 0, Encoding.JPEG, b""
    )
    pixels = bytes([offset % 256]) * size
    image = Prepared(pixels, 224, 224, Quality(1, 2, 3), INFO)
    return PreparedFrame(PendingFrame(record, lambda: None), frame, bytes(16), image)


frames = st.lists(
    st.builds(
        prepared,
        st.integers(0, 200),
        partition=st.integers(0, 3),
        size=st.integers(1, 60),
        replay=st.sampled_from(["", "r1"]),
        attempt=st.integers(0, 1),
    ),
    max_size=40,
)


@given(frames, st.integers(1, 8), st.integers(1, 3000))
def test_batches_keep_caps_order_and_pixels(given_frames: list[PreparedFrame], max_frames: int, max_bytes: int) -> None:
    packed = pack(given_frames, "live", PixelEncoding.I420, max_frames, max_bytes)
    for one in packed:
        batch = one.batch
        assert 1 <= len(batch.items) <= max_frames
        assert len(batch.items) == 1 or len(batch.pixels) <= max_bytes
        assert len({(pending.replay_id, pending.record.attempt) for pending in one.frames}) == 1
        for item, pending in zip(batch.items, one.frames, strict=True):
            assert (batch.source_partition, item.offset) == (
                pending.record.source.partition,
                pending.record.source.offset,
            )
            assert set(batch.pixels[item.start : item.start + item.length]) == {item.offset % 256}
    for partition in range(4):
        for replay in (None, "r1"):
            for attempt in (0, 1):
                key = (partition, replay, attempt)
                expected = [
                    each.pending
                    for each in given_frames
                    if key
                    == (each.pending.record.source.partition, each.pending.replay_id, each.pending.record.attempt)
                ]
                assert expected == [
                    pending
                    for one in packed
                    for pending in one.frames
                    if key == (one.batch.source_partition, pending.replay_id, pending.record.attempt)
                ]


def test_ids_and_traces_count_into_the_size_of_a_batch() -> None:
    """The limit is one of the broker: what is on the wire has to be below it, headers and all."""
    long = [
        prepared(
            offset, size=400, trace=TRACE_A[:-2] + f"{offset:02x}", frame_id="é" * 500, recorded_ms=1_764_000_000_000
        )
        for offset in range(40)
    ]
    packed = pack(long, "live", PixelEncoding.I420, 100, 20_000)
    assert sum(len(one.frames) for one in packed) == 40
    assert all(len(one.frames) > 5 for one in packed[:-1])
    for one in packed:
        assert len(codec.encode(one.batch)) + sum(len(name) + len(value) for name, value in one.headers) < 21_000


def test_headers_say_what_the_record_has_no_field_for() -> None:
    (packed,) = pack([prepared(1, replay="r7", attempt=2, trace=TRACE_A)], "replay", PixelEncoding.I420, 8, 1000)
    assert headers.replay_id_of(packed.headers) == "r7"
    assert headers.attempt_of(packed.headers) == 2
    assert headers.traceparent_of(packed.headers) == TRACE_A
    assert packed.batch.lane == "replay"


def test_each_frame_keeps_its_own_trace() -> None:
    traces = [TRACE_A, "", TRACE_B]
    (packed,) = pack(
        [prepared(offset, trace=trace) for offset, trace in enumerate(traces)], "live", PixelEncoding.I420, 8, 1000
    )
    assert headers.traceparents_of(packed.headers, 3) == [TRACE_A, None, TRACE_B]


def test_each_frame_tells_the_time_of_its_record_where_the_clock_of_its_camera_is_off() -> None:
    given_frames = [prepared(offset, recorded_ms=ms) for offset, ms in enumerate([1, 1_764_000_000_000, 2])]
    (packed,) = pack(given_frames, "live", PixelEncoding.I420, 8, 1000)
    assert read_batch_clocks(packed.headers, 3) == [None, 1_764_000_000_000, None]


def test_batch_ids_differ_even_for_the_same_frames() -> None:
    one, two = (pack([prepared(1)], "live", PixelEncoding.I420, 8, 1000)[0].batch.batch_id for _ in range(2))
    assert one != two
    assert one.startswith("0-1-")


def test_a_frame_of_the_replay_lane_says_which_frame_it_repeats() -> None:
    frames = [prepared(1, replay="r1", replay_of="frames.raw/3/17"), prepared(2, replay="r1", replay_of="nothing")]
    (packed,) = pack(frames, "replay", PixelEncoding.I420, 10, 10_000)
    assert [item.replay_of for item in packed.batch.items] == [Coordinates("frames.raw", 3, 17), None]


def test_frames_that_are_not_to_be_cached_have_micro_batches_of_their_own() -> None:
    frames = [prepared(offset, replay="r1", cache="none" if offset % 2 else "") for offset in range(4)]
    cached, uncached = pack(frames, "replay", PixelEncoding.I420, 10, 10_000)
    assert [item.offset for item in cached.batch.items] == [0, 2]
    assert [item.offset for item in uncached.batch.items] == [1, 3]
    assert (may_be_cached(cached.headers), may_be_cached(uncached.headers)) == (True, False)
