"""The cache's contract in memory, and what it does when its store fails."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import redis
from structlog.testing import capture_logs

from inference.cache.circuit import CircuitBreaker
from inference.cache.exact import CachedLabel, CacheEntry, ExactCache
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
        self.is_read_only = False
        self.most_keys, self.most_bytes = 1_000, 1_000_000
        self.asked = 0

    def _use(self) -> None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault

    async def get_many(self, keys: Sequence[str], timeout_s: float | None = None) -> list[bytes | None]:
        self._use()
        if len(keys) > self.most_keys:
            raise redis.ResponseError("CROSSSLOT")
        return await super().get_many(keys)

    def set_many(self, values: Mapping[str, bytes], ttl_s: int) -> None:
        self._use()
        if self.is_read_only or sum(map(len, values.values())) > self.most_bytes:
            raise redis.ReadOnlyError("READONLY You can't write against a read only replica.")
        super().set_many(values, ttl_s)


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
    assert not cache.store([CacheEntry(TWO, label())])
    for _ in range(100):
        assert await cache.lookup([ONE]) == [None]
        assert not cache.store([CacheEntry(TWO, label())])
    assert values.asked == 2


async def test_a_defect_is_not_swallowed() -> None:
    values = Failing()
    values.fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await new_cache(values).lookup([ONE])


async def looked_up_until(cache: ExactCache, is_done: Callable[[], bool], limit_s: float = 5) -> None:
    deadline = time.monotonic() + limit_s
    while not is_done():
        assert time.monotonic() < deadline
        await cache.lookup([ONE])
        await asyncio.sleep(0.01)


async def test_it_comes_back_by_a_probe_that_no_frame_waits_for() -> None:
    values = Failing()
    cache = new_cache(values)
    assert cache.store([CacheEntry(ONE, label())])
    values.fault = redis.ConnectionError("refused")
    assert await cache.lookup([ONE]) == [None]
    asked = values.asked
    await looked_up_until(cache, lambda: values.asked > asked)
    assert cache._lookups.is_open
    values.fault = None
    await looked_up_until(cache, lambda: not cache._lookups.is_open)
    assert await cache.lookup([ONE]) == [label()]
    await cache.aclose()


async def test_a_probe_repeats_the_look_up_that_failed() -> None:
    """A cluster answers one key and refuses several: a probe with one key would close the circuit every time."""
    values = Failing()
    cache, values.most_keys = new_cache(values), 1
    with capture_logs() as told:
        assert await cache.lookup([ONE, TWO]) == [None, None]
        asked = values.asked
        await looked_up_until(cache, lambda: values.asked >= asked + 3)
        assert cache._lookups.is_open
        assert [line["event"] for line in told] == ["Redis fails: going on without the cache"]
        values.most_keys = 2
        await looked_up_until(cache, lambda: not cache._lookups.is_open)
    assert [line["event"] for line in told][1:] == ["Redis answers again: the cache is in use"]
    await cache.aclose()


async def test_a_defect_in_a_probe_is_not_swallowed() -> None:
    values = Failing()
    cache, values.fault = new_cache(values), redis.ConnectionError("refused")
    assert await cache.lookup([ONE]) == [None]
    values.fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await looked_up_until(cache, lambda: False)


def test_a_probe_repeats_the_store_that_failed() -> None:
    """Memory that is full can have room for a small label and none for a large batch."""
    values = Failing()
    cache, values.most_bytes = new_cache(values), 60
    assert not cache.store([CacheEntry(ONE, label()), CacheEntry(TWO, label())])
    time.sleep(0.25)  # breaker_open_ms is 200
    assert not cache.store([CacheEntry(ONE, label())])
    assert cache._stores.is_open
    values.most_bytes = 1_000
    time.sleep(0.25)
    assert cache.store([CacheEntry(ONE, label())])
    assert set(values._values) == {cache.label_key(ONE), cache.label_key(TWO)}


async def test_a_replica_that_stores_nothing_answers_all_the_same_and_that_is_told_once() -> None:
    values = Failing()
    cache = new_cache(values)
    assert cache.store([CacheEntry(ONE, label())])
    values.is_read_only = True
    with capture_logs() as told:
        deadline = time.monotonic() + 0.7
        while time.monotonic() < deadline:
            assert not cache.store([CacheEntry(TWO, label())])
            assert await cache.lookup([ONE]) == [label()]
            await asyncio.sleep(0.01)
    assert [line["event"] for line in told] == ["Redis fails: going on without storing labels"]
    assert metrics.CACHE_UP._value.get() == 0


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


def test_a_circuit_opens_once_probes_at_intervals_and_only_a_probe_closes_it() -> None:
    circuit = CircuitBreaker(open_ms=1000)
    assert not circuit.is_open and not circuit.probe_due(0)
    assert circuit.failed(100) and not circuit.failed(150)
    assert [now for now in range(200, 4000, 50) if circuit.probe_due(now)] == [1150, 2150, 3150]
    assert not circuit.succeeded(3200)  # a call that began before the failure
    assert circuit.succeeded(3300, is_probe=True) and not circuit.succeeded(3400)
    assert not circuit.is_open and not circuit.probe_due(10_000)
    assert circuit.failed(100_000)


def test_a_circuit_that_flaps_is_told_twice_and_then_once_it_is_steady() -> None:
    circuit, news, probes = CircuitBreaker(open_ms=1000), list[tuple[int, str]](), list[int]()
    for now in range(0, 200_000, 100):
        if not circuit.is_open and now < 150_000 and circuit.failed(now):
            news.append((now, "fails"))
        elif not circuit.is_open and circuit.succeeded(now):
            news.append((now, "answers"))
        elif circuit.probe_due(now):
            probes.append(now)
            if circuit.succeeded(now, is_probe=True):
                news.append((now, "answers"))
    assert [what for _, what in news] == ["fails", "answers", "fails", "answers"]
    assert news[2][0] < 2_000 and news[3][0] >= 150_000 + 10_000
    waits = [after - before for before, after in pairwise(probes)]
    assert waits[:4] == [2100, 4100, 8100, 16100] and max(waits) <= 32_100


def test_a_circuit_that_is_held_is_no_news() -> None:
    circuit = CircuitBreaker(open_ms=1000)
    circuit.hold()
    assert circuit.is_open and circuit.probe_due(100) and not circuit.probe_due(200)
    assert not circuit.succeeded(300, is_probe=True) and not circuit.is_open
