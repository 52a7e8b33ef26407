"""The cache's contract in memory, and what it does when its store fails."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import redis

from inference.cache.circuit import CircuitBreaker
from inference.cache.exact import CachedLabel, CacheEntry
from infra.process import metrics
from tests.support.cache_contract import ONE, TWO, CacheContract, label, new_cache
from tests.support.memory_store import MemoryKeyValues


class TestInMemory(CacheContract):
    @pytest.fixture
    def values(self) -> MemoryKeyValues:
        return MemoryKeyValues()


def test_memory_is_bounded_in_bytes_the_oldest_go_first() -> None:
    values = MemoryKeyValues(max_bytes=250)
    for index in range(5):
        values.set_many({f"k{index}": bytes(100)}, 60)
    values.set_many({"k4": bytes(50)}, 60)
    assert list(values._values) == ["k3", "k4"]
    assert values._bytes == 150


class Failing(MemoryKeyValues):
    """A store that fails while `fault` is set, and counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Exception | None = None
        self.asked = 0

    def _use(self) -> None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self._use()
        return await super().get_many(keys)

    def set_many(self, values: Mapping[str, bytes], ttl_s: int) -> None:
        self._use()
        super().set_many(values, ttl_s)

    def ping(self) -> None:
        self._use()


@pytest.mark.parametrize(
    "fault",
    [
        redis.ConnectionError("refused"),
        redis.TimeoutError("slow"),
        redis.ResponseError("OOM command not allowed"),
        redis.AuthenticationError("wrong password"),
        ConnectionResetError("cut"),
        TimeoutError("slow"),
        OSError("no route"),
    ],
)
async def test_a_fault_is_a_miss_and_then_the_store_is_left_alone(fault: Exception) -> None:
    values = Failing()
    cache = new_cache(values)
    assert cache.store([CacheEntry(ONE, label())])
    values.fault, values.asked = fault, 0
    assert await cache.lookup([ONE, TWO]) == [None, None]
    assert cache._circuit.is_open
    for _ in range(100):
        assert await cache.lookup([ONE]) == [None]
        assert not cache.store([CacheEntry(TWO, label())])
    assert values.asked == 1


async def test_a_defect_is_not_swallowed() -> None:
    values = Failing()
    values.fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await new_cache(values).lookup([ONE])


async def test_it_comes_back_by_a_probe_that_no_frame_waits_for() -> None:
    values = Failing()
    cache = new_cache(values)
    assert cache.store([CacheEntry(ONE, label())])
    values.fault = redis.ConnectionError("refused")
    assert not cache.store([CacheEntry(TWO, label())])
    values.fault = None
    before = threading.active_count()
    deadline = time.monotonic() + 5
    while cache._circuit.is_open and time.monotonic() < deadline:
        assert await cache.lookup([ONE]) in ([None], [label()])
        time.sleep(0.01)
    assert await cache.lookup([ONE]) == [label()]
    assert threading.active_count() <= before + 1


@pytest.mark.parametrize(
    "unfit",
    [
        replace(label(), quality=replace(label().quality, flags=("f" * 256,))),
        replace(label(), predictions=label().predictions * 128),
        replace(label(), predictions=(replace(label().predictions[0], probability=1e300),)),
    ],
    ids=["flags", "predictions", "probability"],
)
async def test_a_label_that_the_format_cannot_hold_costs_no_other_its_place(unfit: CachedLabel) -> None:
    cache, refused = new_cache(MemoryKeyValues()), metrics.CACHE_STORES.labels("refused")
    before = refused._value.get()
    assert cache.store([CacheEntry(ONE, unfit), CacheEntry(TWO, label())])
    assert await cache.lookup([ONE, TWO]) == [None, label()]
    assert refused._value.get() == before + 1


async def test_every_answer_is_counted_once() -> None:
    def counts() -> dict[str, float]:
        results = ("hit", "miss", "corrupt", "error", "skipped")
        return {each: metrics.CACHE_REQUESTS.labels("exact", each)._value.get() for each in results}

    values = Failing()
    cache = new_cache(values)
    cache.store([CacheEntry(ONE, label())])
    values.set_many({cache.label_key(b"3" * 16): b"junk"}, 60)
    before = counts()
    await cache.lookup([ONE, ONE, TWO, b"3" * 16])
    values.fault = redis.ConnectionError("refused")
    await cache.lookup([ONE, TWO])
    await cache.lookup([ONE])
    gained = {name: value - before[name] for name, value in counts().items()}
    assert gained == {"hit": 2, "miss": 1, "corrupt": 1, "error": 2, "skipped": 1}


def test_a_circuit_opens_once_probes_at_intervals_and_closes_once() -> None:
    circuit = CircuitBreaker(open_ms=1000)
    assert not circuit.is_open and not circuit.probe_due(0)
    assert circuit.failed(100) and not circuit.failed(150)
    assert [now for now in range(200, 4000, 50) if circuit.probe_due(now)] == [1150, 2150, 3150]
    assert circuit.succeeded() and not circuit.succeeded()
    assert not circuit.probe_due(10_000)
    assert circuit.failed(10_000)
