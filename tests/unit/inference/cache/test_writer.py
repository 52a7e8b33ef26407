"""The thread that fills the cache outlives whatever the cache cannot take."""

import time
from collections.abc import Iterable

from inference.cache.exact import CacheEntry, ExactCache
from inference.cache.store import MemoryKeyValues
from inference.cache.writer import CacheWriter
from inference.device.work import Labelled, Origin, Work
from inference.models.null import INFO
from infra.process import metrics
from schemas.records import Decision, Label, Prediction, Quality
from schemas.records import Origin as LabelOrigin
from tests.support.batches import QUALITY, micro_batch


def work(offset: int, quality: Quality = QUALITY) -> Work:
    made = Work(Origin("batches", 0, 7, 1), items=micro_batch("frames.raw", 3, [offset]).items)
    item, predictions = made.items[0], (Prediction("1", "null 1", 0.5),)
    made.outcomes[0] = Labelled(
        Label(
            item.frame_id, item.source_id, 1, 2, Decision.ACCEPTED, None, predictions, LabelOrigin.MODEL, INFO.ref,
            quality, made.source_of(0),
        )
    )  # fmt: skip
    return made


class Cache(ExactCache):
    """Fails as a defect would while `fails`."""

    def __init__(self) -> None:
        super().__init__(MemoryKeyValues(), INFO, prefix="t-", top_k=1, ttl_s=60, breaker_open_ms=200)
        self.fails = 0

    def store(self, entries: Iterable[CacheEntry]) -> bool:
        if self.fails:
            self.fails -= 1
            raise ZeroDivisionError
        return super().store(entries)


async def is_kept(cache: ExactCache, of: Work) -> bool:
    return await cache.lookup([of.items[0].image_hash]) != [None]


async def test_a_label_that_cannot_be_kept_does_not_end_it() -> None:
    cache = Cache()
    writer = CacheWriter(cache)
    unfit, sound = work(1, Quality(1.0, 2.0, 3.0, ("f" * 256,))), work(2)
    writer.put(unfit)
    writer.put(sound)
    writer.close(5)
    assert not await is_kept(cache, unfit)
    assert await is_kept(cache, sound)


async def test_a_defect_of_the_cache_is_counted_and_does_not_end_it() -> None:
    cache, errors = Cache(), metrics.CACHE_STORES.labels("error")
    writer = CacheWriter(cache)
    before = errors._value.get()
    cache.fails = 1
    writer.put(work(1))
    while cache.fails:  # so that the next is not merged with it
        time.sleep(0.001)
    writer.put(work(2))
    writer.close(5)
    assert errors._value.get() == before + 1
    assert await is_kept(cache, work(2))
