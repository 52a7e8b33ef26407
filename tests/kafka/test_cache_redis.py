"""The cache's contract on a real Valkey, and over a connection that is slow, cut, or dead."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from inference.cache.exact import CacheEntry, ExactCache, open_cache
from inference.cache.store import RedisKeyValues
from infra.redis.client import connect, require_redis
from schemas.errors import Unavailable
from tests.support.cache_contract import ONE, TWO, CacheContract, info, label
from tests.support.deployment import Deployment
from tests.support.proxy import TcpProxy

TIMEOUT_MS, OPEN_MS = 100, 300


class TestOnValkey(CacheContract):
    @pytest_asyncio.fixture
    async def values(self, deployment: Deployment) -> AsyncIterator[RedisKeyValues]:
        made = RedisKeyValues(deployment.settings())
        yield made
        await made.aclose()
        made.close()


@pytest.fixture
def line(deployment: Deployment) -> Iterator[TcpProxy]:
    port = urlsplit(deployment.redis_url).port
    assert port is not None
    with TcpProxy(port) as proxy:
        yield proxy


@asynccontextmanager
async def cache_over(line: TcpProxy, deployment: Deployment) -> AsyncIterator[ExactCache]:
    database = urlsplit(deployment.redis_url).path
    redis = {
        "url": f"redis://127.0.0.1:{line.port}{database}",
        "timeout_ms": TIMEOUT_MS,
        "breaker_open_ms": OPEN_MS,
        "ttl_s": 60,
    }
    cache = open_cache(deployment.settings(redis=redis, infer={"top_k": 2}), info())
    yield cache
    await cache.aclose()


async def until_closed(cache: ExactCache) -> None:
    deadline = time.monotonic() + 10
    while cache._lookups.is_open and time.monotonic() < deadline:
        await cache.lookup([ONE])
        await asyncio.sleep(0.02)
    assert not cache._lookups.is_open


async def test_values_expire(deployment: Deployment) -> None:
    ttls = {"ttl_s": 77, "replay_ttl_s": 7}
    cache = open_cache(deployment.settings(redis=ttls, infer={"top_k": 2}), info())
    assert cache.store([CacheEntry(ONE, label()), CacheEntry(ONE, label(), replay_id="r1")])
    client = connect(deployment.settings())
    left_s = client.ttl(cache.label_key(ONE))
    replay_left_s = client.ttl(cache.label_key(ONE, replay_id="r1"))
    client.close()
    await cache.aclose()
    assert 70 < int(str(left_s)) <= 77
    assert 0 < int(str(replay_left_s)) <= 7
    assert cache.label_key(ONE).startswith(deployment.prefix)


@pytest.mark.parametrize("harm", ["refuse", "hold", "slow"])
async def test_a_dead_or_slow_redis_costs_one_timeout_and_then_nothing(
    line: TcpProxy, deployment: Deployment, harm: str
) -> None:
    async with cache_over(line, deployment) as cache:
        assert cache.store([CacheEntry(ONE, label())])
        assert await cache.lookup([ONE]) == [label()]
        if harm == "refuse":
            line.refuse()
        elif harm == "hold":
            line.hold()
        else:
            line.delay(2.0)
        started = time.monotonic()
        assert await cache.lookup([ONE, TWO]) == [None, None]
        assert time.monotonic() - started < 5 * TIMEOUT_MS / 1000
        started, asked = time.monotonic(), 0
        while time.monotonic() - started < 4 * OPEN_MS / 1000:
            before = time.monotonic()
            assert await cache.lookup([ONE] * 32) == [None] * 32
            assert time.monotonic() - before < TIMEOUT_MS / 1000 / 2
            assert not cache.store([CacheEntry(TWO, label())])
            assert time.monotonic() - before < 3 * TIMEOUT_MS / 1000
            asked += 1
            await asyncio.sleep(0.01)
        assert asked > 20
        line.restore()
        await until_closed(cache)
        assert await cache.lookup([ONE]) == [label()]
        await asyncio.sleep(OPEN_MS / 1000)  # the next store is the probe of the stores
        assert cache.store([CacheEntry(TWO, label(2))])


async def test_late_answers_of_a_slow_redis_are_never_taken_for_others(line: TcpProxy, deployment: Deployment) -> None:
    async with cache_over(line, deployment) as cache:
        assert cache.store([CacheEntry(ONE, label(1)), CacheEntry(TWO, label(2))])
        for delay_s in (0.12, 0.15, 0.2):
            line.delay(delay_s)
            assert await cache.lookup([ONE]) == [None]
            line.restore()
            await until_closed(cache)
            assert await cache.lookup([TWO]) == [label(2)]


async def test_a_cancelled_look_up_leaves_no_answer_behind(line: TcpProxy, deployment: Deployment) -> None:
    async with cache_over(line, deployment) as cache:
        assert cache.store([CacheEntry(ONE, label(1)), CacheEntry(TWO, label(2))])
        assert await cache.lookup([ONE]) == [label(1)]
        line.delay(0.05)
        task = asyncio.create_task(cache.lookup([ONE]))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        line.restore()
        assert await cache.lookup([TWO]) == [label(2)]


async def test_a_store_that_cannot_write_is_a_fault_like_others(deployment: Deployment) -> None:
    """Redis out of memory answers reads and refuses writes."""
    if deployment.services.valkey is None:
        pytest.skip("the memory limit of somebody else's Redis is not ours to change")
    client = connect(deployment.settings())
    client.config_set("maxmemory", "1")
    try:
        cache = open_cache(deployment.settings(infer={"top_k": 2}), info())
        assert not cache.store([CacheEntry(ONE, label())])
        assert cache._stores.is_open and not cache._lookups.is_open
        assert await cache.lookup([ONE]) == [None]
        await cache.aclose()
    finally:
        client.config_set("maxmemory", "0")
        client.close()


def test_a_redis_that_is_slow_for_a_moment_is_there_and_one_that_says_nothing_is_not(
    line: TcpProxy, deployment: Deployment
) -> None:
    redis = {"url": f"redis://127.0.0.1:{line.port}/0", "timeout_ms": TIMEOUT_MS, "start_timeout_ms": 3_000}
    line.delay(5 * TIMEOUT_MS / 1000)
    require_redis(deployment.settings(redis=redis))
    line.hold()
    with pytest.raises(Unavailable, match=rf"^Redis does not answer at 127\.0\.0\.1:{line.port}: "):
        require_redis(deployment.settings(redis={**redis, "start_timeout_ms": TIMEOUT_MS}))


async def test_a_full_valkey_lets_labels_of_a_replay_go_and_keeps_the_live_ones(deployment: Deployment) -> None:
    if deployment.services.valkey is None:
        pytest.skip("the memory limit of somebody else's Redis is not ours to change")
    client = connect(deployment.settings())
    cache = open_cache(deployment.settings(infer={"top_k": 2}), info())
    live = [number.to_bytes(16, "big") for number in range(500)]
    try:
        assert cache.store([CacheEntry(each, label()) for each in live])
        used: dict[str, int] = client.info("memory")
        client.config_set("maxmemory", str(used["used_memory"] + 2**20))
        for first in range(0, 20_000, 500):
            replayed = [(first + number).to_bytes(16, "big") for number in range(500)]
            assert cache.store([CacheEntry(each, label(), replay_id="r1") for each in replayed])
        assert client.info("stats")["evicted_keys"] > 0
        assert None not in await cache.lookup(live)
    finally:
        client.config_set("maxmemory", "0")
        client.close()
        await cache.aclose()
