"""Frames whose pictures take the decoder long, through the whole stage: they hold up their own source alone."""

import asyncio
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec, headers
from schemas.coordinates import Coordinates
from schemas.records import Frame, MicroBatch
from streams.stage.hard_queue import KEPT_FRAMES
from tests.support.hard_pool import HardPool
from tests.support.stage_rig import Rig


def written(rig: Rig) -> list[tuple[str, int]]:
    """(source, offset) of the frames in the micro-batches, in the order of writing."""
    batches = [codec.decode(MicroBatch, one.value) for one in rig.sender.to("frames.batches")]
    return [(item.source_id, item.offset) for batch in batches for item in batch.items]


def offsets(rig: Rig, source: str) -> list[int]:
    return [offset for name, offset in written(rig) if name == source]


async def until(rig: Rig, count: int) -> None:
    async with asyncio.timeout(20):
        while len(written(rig)) < count:
            await asyncio.sleep(0.005)


async def working(pool: HardPool, *images: bytes) -> None:
    async with asyncio.timeout(20):
        while set(pool.at_work) != set(images):
            await asyncio.sleep(0.005)


async def test_frames_of_other_sources_pass_a_hard_one_and_those_of_its_own_do_not() -> None:
    pool = HardPool()
    rig = Rig(pool=pool)
    for offset in range(9):
        image = b"hard 0" if offset == 0 else b"sound"
        rig.take(offset, image, source=f"cam{offset % 3}")
    await until(rig, 6)
    assert {name for name, _ in written(rig)} == {"cam1", "cam2"}
    await rig.acknowledge()
    assert sorted(rig.finished) == [1, 2, 4, 5, 7, 8]
    pool.done(b"hard 0")
    await until(rig, 9)
    assert offsets(rig, "cam0") == [0, 3, 6]


async def test_the_pictures_of_a_hard_source_never_fill_the_buffer() -> None:
    pool = HardPool()
    rig = Rig(pool=pool, stream={"max_buffer_frames": 4, "decoders": 2})
    for offset in range(40):
        await asyncio.wait_for(rig.stage.gate.wait(), 5)
        rig.take(offset, b"hard %d" % offset)
        await asyncio.sleep(0.005)
    await working(pool, b"hard 0", b"hard 1")
    assert (rig.stage.gate.is_open, rig.stage.gate.frames) == (True, 40)
    for offset in range(40):
        async with asyncio.timeout(5):
            while b"hard %d" % offset not in pool.at_work:
                await asyncio.sleep(0.001)
        pool.done(b"hard %d" % offset)
    await until(rig, 40)
    assert offsets(rig, "cam") == list(range(40))
    assert set(range(2 + KEPT_FRAMES, 40)) >= set(rig.reread.places) >= set(range(10, 40)), "kept on the topic alone"
    await rig.acknowledge()
    assert rig.stage.gate.frames == 0


async def test_a_hard_source_leaves_a_decoder_to_others_unless_it_is_alone() -> None:
    pool = HardPool()
    rig = Rig(pool=pool, stream={"decoders": 2})
    rig.take(0, b"sound", source="other")
    await until(rig, 1)
    for offset in range(1, 6):
        rig.take(offset, b"hard %d" % offset)
    await working(pool, b"hard 1")
    await asyncio.sleep(0.05)
    assert list(pool.at_work) == [b"hard 1"]
    rig.stage._easy_s -= 60.0
    pool.done(b"hard 1")
    await working(pool, b"hard 2", b"hard 3")


async def test_a_frame_that_left_its_topic_while_it_waited_is_a_dead_letter() -> None:
    pool = HardPool()
    rig = Rig(pool=pool)
    for offset in range(20):
        rig.take(offset, b"hard %d" % offset)
    await working(pool, b"hard 0", b"hard 1")
    rig.reread.gone = {18, 19}
    for offset in range(18):
        async with asyncio.timeout(5):
            while b"hard %d" % offset not in pool.at_work:
                await asyncio.sleep(0.001)
        pool.done(b"hard %d" % offset)
    await until(rig, 18)
    await rig.settle()
    dead = {headers.read_failure(one.record.headers).source.offset: one for one in rig.sender.to("frames.dead")}  # type: ignore[union-attr]
    assert sorted(dead) == [18, 19]
    assert headers.to_map(dead[18].record.headers)[headers.ERROR_CLASS] == b"frame_gone"
    await rig.acknowledge()
    assert sorted(rig.finished) == list(range(20))


async def test_frames_of_a_partition_that_was_lost_are_left_to_its_next_owner() -> None:
    pool = HardPool()
    rig = Rig(pool=pool)
    for offset in range(20):
        rig.take(offset, b"hard %d" % offset)
    await working(pool, b"hard 0", b"hard 1")
    rig.is_current = False
    pool.done(b"hard 0")
    pool.done(b"hard 1")
    await rig.settle()
    assert pool.at_work == {}
    assert [offset for _, offset in written(rig)] == [0, 1], "what was decoded already is written, as before"
    await rig.acknowledge()
    assert rig.stage.gate.frames == 0
    assert rig.reread.places == []


async def test_a_frame_that_is_deferred_waits_on_the_retry_topic_and_comes_back_from_there() -> None:
    pool = HardPool()
    rig = Rig(pool=pool)
    for offset in range(12):
        rig.take(offset, b"hard %d" % offset)
    await working(pool, b"hard 0", b"hard 1")
    rig.stage.defer_before(Coordinates("frames.raw", 1, 9))
    rig.stage.defer_before(Coordinates("frames.raw", 0, 3))
    await rig.settle_sent("frames.retry", 1)
    (sent,) = rig.sender.to("frames.retry")
    assert sent.record.value is None
    failure = headers.read_failure(sent.record.headers)
    assert failure is not None
    assert (failure.error_class, failure.attempt, failure.source) == ("deferred", 0, Coordinates("frames.raw", 0, 2))
    await rig.acknowledge()
    assert rig.finished == [2], "what is at work stays"

    rig.come_back(sent)
    rig.stage.defer_again(Coordinates("frames.raw", 0, 2))
    await rig.settle_sent("frames.retry", 2)
    await rig.acknowledge()
    rig.come_back(rig.sender.to("frames.retry")[1])
    for offset in (0, 1, *range(3, 12), 2):
        async with asyncio.timeout(5):
            while b"hard %d" % offset not in pool.at_work:
                await asyncio.sleep(0.001)
        pool.done(b"hard %d" % offset)
    await until(rig, 12)
    assert offsets(rig, "cam") == [0, 1, *range(3, 12), 2], "behind all that its source has sent"
    await rig.acknowledge()
    assert sorted(rig.finished) == sorted([*range(12), 2, 2]), "one record of three each time"
    assert rig.stage.gate.frames == 0


async def test_a_deferred_frame_whose_place_holds_another_frame_by_now_is_a_dead_letter() -> None:
    pool = HardPool()
    rig = Rig(pool=pool)
    rig.take(0, b"hard 0")
    await working(pool, b"hard 0")
    for offset in (1, 2):
        rig.reread.records[offset] = replace(rig.reread.records[0], timestamp_ms=1_000 + offset)
        rig.take_deferred(offset, recorded_ms=1_001)
    rig.reread.gone = {1}
    pool.done(b"hard 0")
    await rig.settle_sent("frames.dead", 2)
    reasons = {headers.to_map(one.record.headers)[headers.ERROR_CLASS] for one in rig.sender.to("frames.dead")}
    assert reasons == {b"frame_gone"}
    await rig.acknowledge()
    assert sorted(rig.finished) == [0, 1, 2]


async def test_when_too_many_are_deferred_the_oldest_becomes_a_dead_letter_with_its_picture() -> None:
    pool = HardPool()
    rig = Rig(pool=pool, stream={"max_frames_ahead": 12})
    for offset in range(6):
        rig.take(offset, b"hard %d" % offset)
    await working(pool, b"hard 0", b"hard 1")
    for offset in range(10, 15):
        rig.reread.records[offset] = rig.reread.records[0]
        rig.take_deferred(offset, recorded_ms=99)
    await rig.settle_sent("frames.dead", 2)
    dead = {headers.read_failure(one.record.headers).source.offset: one for one in rig.sender.to("frames.dead")}  # type: ignore[union-attr]
    assert sorted(dead) == [10, 11]
    assert headers.to_map(dead[10].record.headers)[headers.ERROR_CLASS] == b"decoder_behind"
    assert codec.decode(Frame, dead[10].value).image == b"hard 0"


async def test_a_hard_picture_that_is_bad_is_a_dead_letter_and_holds_nothing_up() -> None:
    pool = HardPool()
    rig = Rig(pool=pool)
    rig.take(0, b"hard")
    rig.take(1, b"bad", source="other")
    rig.take(2, b"sound")
    await working(pool, b"hard")
    pool.at_work.pop(b"hard").set_result(MemoryError("no room"))
    await until(rig, 1)
    await rig.settle()
    assert len(rig.sender.to("frames.retry")) == len(rig.sender.to("frames.dead")) == 1
    await rig.acknowledge()
    assert sorted(rig.finished) == [0, 1, 2]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30), st.randoms(use_true_random=False))
async def test_any_order_of_completion_keeps_the_order_of_each_source(
    frames: list[tuple[str, bool]], random: Random
) -> None:
    pool = HardPool()
    rig = Rig(pool=pool, stream={"max_buffer_frames": 8, "decoders": 3})
    for offset, (source, is_hard) in enumerate(frames):
        await asyncio.wait_for(rig.stage.gate.wait(), 5)
        rig.take(offset, (b"hard %d" if is_hard else b"%d") % offset, source=source)
        if random.random() < 0.3:
            await asyncio.sleep(0.002)
            await rig.acknowledge()
    async with asyncio.timeout(20):
        while len(rig.finished) < len(frames):
            if pool.at_work and random.random() < 0.5:
                pool.done(random.choice(list(pool.at_work)))
            await asyncio.sleep(0)
            await rig.acknowledge()
    assert sorted(offset for _, offset in written(rig)) == list(range(len(frames)))
    for source in "abc":
        assert offsets(rig, source) == sorted(offsets(rig, source))
    assert rig.stage.gate.frames == 0


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
