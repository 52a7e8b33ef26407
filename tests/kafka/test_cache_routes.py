"""The cache's contract on a real cluster, through any node, and through a Sentinel; and a server without HELLO."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis
from structlog.testing import capture_logs

from inference.cache.exact import CacheEntry, ExactCache, open_cache
from inference.cache.store import RedisKeyValues
from infra.process.ports import find_ports
from infra.redis.check import redis_use
from infra.redis.client import require_redis
from infra.redis.route import CLUSTER, SINGLE, Route
from infra.settings import Settings, load_settings
from tests.support.cache_contract import ONE, TWO, CacheContract, info, label
from tests.support.valkeys import cluster, sentinel, until, valkey

HASHES = [bytes([number]) * 16 for number in range(40)]


def at(port: int, **more: object) -> Settings:
    redis = {"url": f"redis://127.0.0.1:{port}/0", "timeout_ms": 500, "breaker_open_ms": 200, "ttl_s": 60, **more}
    return load_settings({"redis": redis, "infer": {"top_k": 2}})


class Prepared(RedisKeyValues):
    """Has found out what kind of server there is."""

    async def prepare(self) -> "Prepared":
        try:
            await self.get_many(["one", "two", "three"], 5)
        except redis.RedisError:
            await self.get_many(["one", "two", "three"], 5)
        return self


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as ports:
        yield ports


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[int]:
    [port] = find_ports(1)
    with valkey(tmp_path / "primary", port), sentinel(tmp_path / "sentinel", {"mymaster": port}) as watching:
        yield watching


class TestOnACluster(CacheContract):
    @pytest_asyncio.fixture
    async def values(self, nodes: list[int]) -> AsyncIterator[RedisKeyValues]:
        with redis.RedisCluster("127.0.0.1", nodes[0], protocol=2) as client:
            client.flushall(target_nodes=redis.RedisCluster.PRIMARIES)
        made = await Prepared(at(nodes[1])).prepare()
        yield made
        await made.aclose()
        made.close()


class TestThroughASentinel(CacheContract):
    @pytest_asyncio.fixture
    async def values(self, watched: int) -> AsyncIterator[RedisKeyValues]:
        made = await Prepared(at(watched)).prepare()
        yield made
        await made.aclose()
        made.close()


async def looked_up(cache: ExactCache, hashes: list[bytes], limit_s: float = 10) -> list[object]:
    """The first answers that are no faults of a client that is being changed."""
    deadline = time.monotonic() + limit_s
    found: list[object] = [None]
    while None in found and time.monotonic() < deadline:
        found = list(await cache.lookup(hashes))
        await asyncio.sleep(0.02)
    return found


async def stored_and_found(settings: Settings) -> list[str]:
    """What is logged while many labels are stored and found."""
    cache = open_cache(settings, info())
    with capture_logs() as told:
        assert await asyncio.to_thread(cache.store, [CacheEntry(each, label()) for each in HASHES])
        assert await looked_up(cache, HASHES) == [label()] * len(HASHES)
        for _ in range(50):
            assert None not in await cache.lookup(HASHES)
    await cache.aclose()
    return [line["event"] for line in told]


@pytest.mark.parametrize("node", range(3))
async def test_a_cluster_works_through_any_node_and_is_no_failure(nodes: list[int], node: int) -> None:
    settings = at(nodes[node])
    require_redis(settings)
    assert await stored_and_found(settings) == ["Redis is not a single server"]
    assert redis_use(settings).route == CLUSTER
    assert not redis_use(settings).read_fault + redis_use(settings).store_fault


async def test_look_ups_that_overlap_while_the_cluster_is_found_are_no_failures(nodes: list[int]) -> None:
    """Nor do they delay the probe, which would then come after `breaker_open_ms`."""
    cache = open_cache(at(nodes[0], breaker_open_ms=60_000), info())
    with capture_logs() as told:
        await asyncio.gather(*(cache.lookup(HASHES[first : first + 10]) for first in range(20)))
        await asyncio.to_thread(cache.store, [CacheEntry(each, label()) for each in HASHES])
        assert await looked_up(cache, HASHES) == [label()] * len(HASHES)
    await cache.aclose()
    assert [line["event"] for line in told] == ["Redis is not a single server"]


async def test_a_sentinel_names_the_primary(watched: int) -> None:
    settings = at(watched)
    require_redis(settings)
    assert await stored_and_found(settings) == ["Redis is not a single server"]
    assert redis_use(settings).route == Route("sentinel", "mymaster")


async def test_a_sentinel_of_several_primaries_is_told_once(tmp_path: Path) -> None:
    first, second = find_ports(2)
    with (
        valkey(tmp_path / "a", first),
        valkey(tmp_path / "b", second),
        sentinel(tmp_path / "s", {"a": first, "b": second}) as port,
    ):
        cache = open_cache(at(port), info())
        with capture_logs() as told:
            deadline = time.monotonic() + 1.5
            while time.monotonic() < deadline:
                assert await cache.lookup([ONE]) == [None]
                await asyncio.sleep(0.02)
        await cache.aclose()
        assert [line["event"] for line in told] == ["Redis fails: going on without the cache"]
        assert "set redis.url to the server that is meant" in told[0]["error"]


async def test_a_server_without_hello_works(tmp_path: Path) -> None:
    [port] = find_ports(1)
    with valkey(tmp_path, port, "--rename-command", "HELLO", ""):
        require_redis(at(port))
        assert await stored_and_found(at(port)) == []
        assert redis_use(at(port)).route == SINGLE


async def test_a_replica_answers_look_ups_and_its_refusal_is_told_once(tmp_path: Path) -> None:
    primary, replica = find_ports(2)
    with (
        valkey(tmp_path / "primary", primary),
        valkey(tmp_path / "replica", replica, "--replicaof", "127.0.0.1", str(primary)),
    ):
        writing, cache = open_cache(at(primary), info()), open_cache(at(replica), info())
        assert writing.store([CacheEntry(ONE, label())])
        assert await looked_up(cache, [ONE]) == [label()]
        with capture_logs() as told:
            deadline = time.monotonic() + 1.5
            while time.monotonic() < deadline:
                assert not cache.store([CacheEntry(TWO, label())])
                assert await cache.lookup([ONE]) == [label()]
                await asyncio.sleep(0.02)
        assert [line["event"] for line in told] == ["Redis fails: going on without storing labels"]
        assert "READONLY" in redis_use(at(replica)).store_fault or "read only" in redis_use(at(replica)).store_fault
        await cache.aclose()
        writing.close()


async def test_a_server_that_becomes_a_replica_is_asked_anew_for_its_name(tmp_path: Path) -> None:
    """After a failover the name leads to another server: no connection to the old one is kept after its refusal."""
    [port] = find_ports(1)
    with valkey(tmp_path / "one", port) as client:
        cache = open_cache(at(port), info())
        assert cache.store([CacheEntry(ONE, label())])
        connections = client.info("clients")["connected_clients"]
        client.replicaof("127.0.0.1", str(port + 1))
        assert not cache.store([CacheEntry(TWO, label())])
        until(lambda: client.info("clients")["connected_clients"] == connections - 1)
        client.replicaof("NO", "ONE")
        await asyncio.sleep(0.25)
        assert cache.store([CacheEntry(TWO, label())])
        cache.close()
