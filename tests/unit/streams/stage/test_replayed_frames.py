"""Frames of a replay in the stage: which labels of the cache they may have, and what their micro-batches say of it."""

from schemas import codec, headers
from schemas.cache_headers import NO_CACHE
from schemas.records import Label, MicroBatch, Origin
from tests.support.stage_rig import FakeCache, Rig

R1 = (headers.REPLAY_ID, b"r1")


async def test_a_frame_of_a_replay_is_looked_up_under_its_id_on_whatever_lane() -> None:
    cache = FakeCache(hits=3)
    rig = Rig(cache)
    for offset, found in enumerate([[], [R1], [R1, (headers.ATTEMPT, b"1")]]):
        rig.take(offset, headers=found)
    await rig.settle()
    assert cache.asked == [None, "r1", "r1"]
    labels = [codec.decode(Label, sent.value) for sent in rig.sender.to("labels")]
    assert [(label.replay_id, label.origin) for label in labels] == [
        (None, Origin.CACHE_EXACT), ("r1", Origin.CACHE_EXACT), ("r1", Origin.CACHE_EXACT),
    ]  # fmt: skip


async def test_a_frame_that_is_not_to_be_cached_is_not_looked_up_and_its_batch_says_so() -> None:
    cache = FakeCache(hits=9)
    rig = Rig(cache)
    rig.take(0, headers=[R1, NO_CACHE])
    rig.take(1, headers=[R1])
    rig.take(2, headers=[R1, NO_CACHE])
    await rig.settle()
    assert cache.asked == ["r1"]
    (sent,) = rig.sender.to("frames.batches")
    assert [item.offset for item in codec.decode(MicroBatch, sent.value).items] == [0, 2]
    assert NO_CACHE in sent.record.headers


async def test_on_the_replay_lane_no_frame_without_an_id_is_looked_up() -> None:
    cache = FakeCache(hits=9)
    rig = Rig(cache, lane="replay")
    rig.take(0)
    rig.take(1, headers=[R1])
    await rig.settle()
    assert cache.asked == ["r1"]
