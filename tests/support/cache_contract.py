"""What the exact cache promises on any store; run in memory (tests/unit) and on a real Valkey (tests/kafka)."""

import numpy as np

from inference.cache.exact import CachedLabel, CacheEntry, ExactCache
from inference.cache.scope import CacheScope
from inference.cache.store import KeyValues
from inference.models import InputSpec, ModelInfo
from infra.settings import Settings
from schemas.records import ModelRef, Prediction, Quality

CLASSES = tuple((str(index), f"class {index}") for index in range(10))
ONE, TWO, THREE = b"1" * 16, b"2" * 16, bytes(range(16))


def info(version: str = "v1", calibration: str = "none") -> ModelInfo:
    return ModelInfo(ModelRef("model", version, calibration), InputSpec(224, 224, 256), CLASSES)


def new_cache(values: KeyValues, version: str = "v1", top_k: int = 2, ttl_s: int = 60, **more: str) -> ExactCache:
    scope = CacheScope.of(Settings(), info(version, **more))
    return ExactCache(values, scope, prefix="t-", top_k=top_k, ttl_s=ttl_s, breaker_open_ms=200)


def label(best: int = 1, count: int = 2, flags: tuple[str, ...] = ()) -> CachedLabel:
    ids = [(best + rank) % 10 for rank in range(count)]
    return CachedLabel(
        tuple(Prediction(str(each), f"class {each}", 0.5 / (rank + 1)) for rank, each in enumerate(ids)),
        Quality(12.5, 100.25, 33.0, flags),
    )


class CacheContract:
    """A subclass gives the fixture `values`, an empty store."""

    async def test_answers_come_in_the_order_of_the_hashes(self, values: KeyValues) -> None:
        cache = new_cache(values)
        assert cache.store([CacheEntry(ONE, label(1)), CacheEntry(TWO, label(2, flags=("dark",)))])
        assert await cache.lookup([TWO, THREE, ONE, TWO]) == [
            label(2, flags=("dark",)),
            None,
            label(1),
            label(2, flags=("dark",)),
        ]

    async def test_nothing_asked_or_stored_is_nothing_done(self, values: KeyValues) -> None:
        cache = new_cache(values)
        assert await cache.lookup([]) == []
        assert cache.store([])

    async def test_the_last_label_of_an_image_counts(self, values: KeyValues) -> None:
        cache = new_cache(values)
        assert cache.store([CacheEntry(ONE, label(1)), CacheEntry(ONE, label(2))])
        assert cache.store([CacheEntry(ONE, label(3))])
        assert await cache.lookup([ONE]) == [label(3)]

    async def test_no_other_model_answers(self, values: KeyValues) -> None:
        assert new_cache(values).store([CacheEntry(ONE, label())])
        assert await new_cache(values, version="v2").lookup([ONE]) == [None]
        assert await new_cache(values, calibration="t1.4").lookup([ONE]) == [None]
        assert await new_cache(values).lookup([ONE]) == [label()]

    async def test_more_predictions_wanted_than_stored_is_a_miss_and_fewer_a_hit(self, values: KeyValues) -> None:
        assert new_cache(values, top_k=3).store([CacheEntry(ONE, label(1, count=3))])
        assert await new_cache(values, top_k=4).lookup([ONE]) == [None]
        assert await new_cache(values, top_k=2).lookup([ONE]) == [label(1, count=2)]

    async def test_a_damaged_value_is_a_miss_and_is_mended_by_the_next_store(self, values: KeyValues) -> None:
        cache = new_cache(values)
        values.set_many({cache.label_key(ONE): b"\x01\x02not a label"}, 60)
        assert await cache.lookup([ONE]) == [None]
        assert cache.store([CacheEntry(ONE, label())])
        assert await cache.lookup([ONE]) == [label()]

    async def test_embeddings_lie_beside_the_label_as_half_floats(self, values: KeyValues) -> None:
        cache, embedding = new_cache(values), np.arange(1280, dtype=np.float16)
        assert cache.store([CacheEntry(ONE, label(), embedding), CacheEntry(TWO, label())])
        stored, none = await values.get_many([cache.embedding_key(ONE), cache.embedding_key(TWO)])
        assert stored is not None and none is None
        assert np.array_equal(np.frombuffer(stored, np.float16), embedding)

    async def test_labels_of_pixels_that_were_made_in_another_way_are_not_found(self, values: KeyValues) -> None:
        own, other = new_cache(values)._own_preparation, "0" * 32
        cache = new_cache(values)
        assert cache.store([CacheEntry(ONE, label(1), preparation=other), CacheEntry(TWO, label(2), preparation=own)])
        assert await cache.lookup([ONE, TWO]) == [None, label(2)]
        assert await values.get_many([cache.label_key(ONE, other)]) != [None]

    async def test_a_replay_finds_its_own_labels_and_nobody_elses(self, values: KeyValues) -> None:
        cache = new_cache(values)
        assert cache.store([CacheEntry(ONE, label(1)), CacheEntry(ONE, label(2), replay_id="r1")])
        assert cache.store([CacheEntry(TWO, label(3)), CacheEntry(THREE, label(4), replay_id="r1")])
        found = await cache.lookup([ONE, ONE, ONE, TWO, THREE, THREE], [None, "r1", "r2", "r1", "r1", None])
        assert found == [label(1), label(2), None, None, label(4), None]

    async def test_a_key_is_kind_scope_and_image(self, values: KeyValues) -> None:
        scope = CacheScope.of(Settings(), info()).key()
        assert new_cache(values).label_key(THREE) == f"t-x:{scope}:000102030405060708090a0b0c0d0e0f"
        assert new_cache(values).embedding_key(THREE) == f"t-e:{scope}:000102030405060708090a0b0c0d0e0f"
        of_replay = CacheScope.of(Settings(), info()).of_replay("r1").key()
        assert new_cache(values).label_key(THREE, replay_id="r1") == f"t-replay:x:{of_replay}:{THREE.hex()}"
