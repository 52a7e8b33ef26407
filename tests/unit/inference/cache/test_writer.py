"""The thread that fills the cache outlives whatever the cache cannot take."""

import time
from collections.abc import Iterable

import numpy as np
import pytest

from inference.cache.exact import CacheEntry, ExactCache
from inference.cache.scope import CacheScope, preparation_of
from inference.cache.writer import CacheWriter
from inference.device.work import LabelledFrame, Work
from inference.models.null import INFO
from infra.process import metrics
from infra.settings import Settings
from schemas.coordinates import TopicPartition
from schemas.records import Decision, Label, Origin, PixelEncoding, Prediction, Quality
from tests.support.batches import QUALITY, batch_record, micro_batch
from tests.support.memory_store import MemoryKeyValues

SCOPE = CacheScope.of(Settings(), INFO)
JPEG = preparation_of(Settings(), INFO, PixelEncoding.JPEG)


def work(offset: int, quality: Quality = QUALITY) -> Work:
    items = micro_batch("frames.raw", 3, [offset]).items
    made = Work(batch_record(TopicPartition("batches", 0), 7), 1, items=items, preparation=SCOPE.preparation)
    item, predictions = made.items[0], (Prediction("1", "null 1", 0.5),)
    label = Label(
        item.frame_id, item.source_id, 1, 2, Decision.ACCEPTED, None, predictions, Origin.MODEL, INFO.ref, quality,
        made.source_of(0),
    )  # fmt: skip
    made.outcomes[0] = LabelledFrame(label, np.zeros(4, np.float16))
    return made


class Cache(ExactCache):
    """Fails as a defect would while `fails`."""

    def __init__(self) -> None:
        super().__init__(MemoryKeyValues(), SCOPE, prefix="t-", top_k=1, ttl_s=60, breaker_open_ms=200)
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
    writer = CacheWriter(cache, JPEG)
    unfit, sound = work(1, Quality(1.0, 2.0, 3.0, ("f" * 256,))), work(2)
    writer.put(unfit)
    writer.put(sound)
    writer.close(5)
    assert not await is_kept(cache, unfit)
    assert await is_kept(cache, sound)


async def test_a_defect_of_the_cache_is_counted_and_does_not_end_it() -> None:
    cache, errors = Cache(), metrics.CACHE_STORES.labels("error")
    writer = CacheWriter(cache, JPEG)
    before = errors._value.get()
    cache.fails = 1
    writer.put(work(1))
    while cache.fails:  # so that the next is not merged with it
        time.sleep(0.001)
    writer.put(work(2))
    writer.close(5)
    assert errors._value.get() == before + 1
    assert await is_kept(cache, work(2))


@pytest.mark.parametrize("with_embeddings", [False, True])
async def test_embeddings_are_written_only_when_they_are_wanted(with_embeddings: bool) -> None:
    values, written = MemoryKeyValues(), work(1)
    cache = ExactCache(values, SCOPE, prefix="t-", top_k=1, ttl_s=60, breaker_open_ms=200)
    writer = CacheWriter(cache, JPEG, with_embeddings)
    writer.put(written)
    writer.close(5)
    image_hash = written.items[0].image_hash
    label, embedding = await values.get_many([cache.label_key(image_hash), cache.embedding_key(image_hash)])
    assert label is not None
    assert embedding == (bytes(8) if with_embeddings else None)


async def test_a_label_lies_where_pixels_of_its_making_are_looked_up() -> None:
    """Not where this worker's own settings say: a stage of another version may have made the pixels."""
    cache = Cache()
    writer = CacheWriter(cache, JPEG)
    untold, other, jpeg = work(1), work(2), work(3)
    untold.preparation, other.preparation, jpeg.preparation = None, "0" * 32, None
    jpeg.encoding = PixelEncoding.JPEG
    for each in (untold, other, jpeg):
        writer.put(each)
    writer.close(5)
    found = {}
    for name, preparation in (("own", None), ("other", "0" * 32), ("jpeg", JPEG)):
        keys = [cache.label_key(each.items[0].image_hash, preparation) for each in (untold, other, jpeg)]
        found[name] = [value is not None for value in await cache._values.get_many(keys)]
    assert found == {"own": [False] * 3, "other": [False, True, False], "jpeg": [False, False, True]}


async def test_what_a_replay_labels_is_found_by_that_replay_alone_and_without_its_embedding() -> None:
    values = MemoryKeyValues()
    cache = ExactCache(values, SCOPE, prefix="t-", top_k=1, ttl_s=60, breaker_open_ms=200)
    writer = CacheWriter(cache, JPEG, with_embeddings=True)
    replayed, unwanted = work(1), work(2)
    replayed.replay_id, unwanted.replay_id, unwanted.may_be_cached = "r1", "r1", False
    writer.put(replayed)
    writer.put(unwanted)
    writer.close(5)
    image_hash = replayed.items[0].image_hash
    assert list(values._values) == [cache.label_key(image_hash, replay_id="r1")]
    assert await cache.lookup([image_hash] * 3, ["r1", "r2", None]) != [None] * 3
    assert await cache.lookup([image_hash] * 2, ["r2", None]) == [None] * 2
