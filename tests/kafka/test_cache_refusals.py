"""A Redis that refuses some of what the cache does, or is reached in a way of its own: told once, and labels go on."""

import asyncio
import os
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from inference.cache.exact import CacheEntry, ExactCache, open_cache
from infra.process.ports import find_ports
from infra.redis.check import redis_use
from infra.redis.client import require_redis
from schemas.errors import Unavailable
from tests.kafka.test_cache_routes import HASHES, at, looked_up
from tests.support.cache_contract import ONE, TWO, info, label
from tests.support.proxy import TcpProxy
from tests.support.valkeys import cluster, sentinel, until, valkey

READS_FAIL, STORES_FAIL = "Redis fails: going on without the cache", "Redis fails: going on without storing labels"


def user(*rights: str) -> Callable[[Any], None]:
    def make(client: Any) -> None:
        client.execute_command("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", *rights)

    return make


def full(client: Any) -> None:
    client.config_set("maxmemory", "1")


async def used_for(cache: ExactCache, seconds: float) -> list[dict[str, Any]]:
    """What is logged while labels are stored and looked up."""
    with capture_logs() as told:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            await asyncio.to_thread(cache.store, [CacheEntry(ONE, label()), CacheEntry(TWO, label())])
            await cache.lookup([ONE, TWO])
            await asyncio.sleep(0.02)
    await cache.aclose()
    return [dict(line) for line in told]


@pytest.mark.parametrize(
    ("options", "prepare", "events", "reason"),
    [
        (("--rename-command", "MGET", ""), None, {READS_FAIL}, "unknown command 'MGET'"),
        ((), user("-mget"), {READS_FAIL}, "has no permissions to run the 'mget' command"),
        ((), user("-set"), {STORES_FAIL}, "has no permissions to run the 'set' command"),
        ((), user("-mget", "-set"), {READS_FAIL, STORES_FAIL}, "has no permissions to run"),
        ((), user("resetkeys", "~other:*"), {READS_FAIL, STORES_FAIL}, "No permissions to access a key"),
        ((), full, {STORES_FAIL}, "command not allowed when used memory > 'maxmemory'"),
    ],
)
async def test_what_is_refused_is_told_once_and_the_rest_is_used(
    tmp_path: Path, options: tuple[str, ...], prepare: Callable[[Any], None] | None, events: set[str], reason: str
) -> None:
    [port] = find_ports(1)
    with valkey(tmp_path, port, *options) as client:
        user()(client)
        if prepare is not None:
            prepare(client)
        settings = at(port, url=f"redis://bob:pw@127.0.0.1:{port}/0")
        require_redis(settings)
        told = await used_for(open_cache(settings, info()), 1.5)
        assert {line["event"] for line in told} == events
        assert len(told) == len(events)
        found = redis_use(settings)
        assert (bool(found.read_fault), bool(found.store_fault)) == (READS_FAIL in events, STORES_FAIL in events)
        for text in [*(line["error"] for line in told), found.read_fault + found.store_fault]:
            assert reason in text
            assert "x:model-v1" not in text


async def test_a_password_that_changes_is_told_once(tmp_path: Path) -> None:
    [port] = find_ports(1)
    with valkey(tmp_path, port) as client:
        user()(client)
        settings = at(port, url=f"redis://bob:pw@127.0.0.1:{port}/0")
        cache = open_cache(settings, info())
        assert cache.store([CacheEntry(ONE, label())])
        assert await cache.lookup([ONE]) == [label()]
        client.execute_command("ACL", "SETUSER", "bob", "resetpass", ">other")
        client.execute_command("CLIENT", "KILL", "USER", "bob")
        told = await used_for(cache, 1.5)
        assert sorted(line["event"] for line in told) == sorted([READS_FAIL, STORES_FAIL])
        with pytest.raises(Unavailable, match="invalid username-password pair"):
            require_redis(settings)


def test_a_database_of_a_cluster_is_named_at_start(tmp_path: Path) -> None:
    with (
        cluster(tmp_path, 1) as [port],
        pytest.raises(Unavailable, match=r"Leave the number of the database out of redis\.url"),
    ):
        require_redis(at(port, url=f"redis://127.0.0.1:{port}/3"))


async def test_a_certificate_of_its_own_is_taken_by_its_file_or_unseen(tmp_path: Path) -> None:
    [port] = find_ports(1)
    key, certificate = tmp_path / "key", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=cache"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with valkey(tmp_path / "one", port), TcpProxy(port, tls=tls) as proxy:
        address = f"rediss://127.0.0.1:{proxy.port}/0"
        with pytest.raises(Unavailable, match=r"certificate verify failed.*\?ssl_ca_certs=FILE.*\?ssl_cert_reqs=none"):
            require_redis(at(port, url=address))
        for more in (f"?ssl_ca_certs={certificate}", "?ssl_cert_reqs=none"):
            settings = at(port, url=address + more)
            require_redis(settings)
            cache = open_cache(settings, info())
            assert cache.store([CacheEntry(ONE, label())])
            assert await looked_up(cache, [ONE]) == [label()]
            await cache.aclose()


async def test_slots_that_move_are_followed_without_a_word(tmp_path: Path) -> None:
    with cluster(tmp_path) as ports:
        cache = open_cache(at(ports[0]), info())
        cache.store([CacheEntry(each, label()) for each in HASHES])
        assert await looked_up(cache, HASHES) == [label()] * len(HASHES)
        with capture_logs() as told:
            move_slots(ports, 0, 1)
            assert await cache.lookup(HASHES) == [label()] * len(HASHES)
            assert cache.store([CacheEntry(each, label()) for each in HASHES])
        await cache.aclose()
        assert told == []


async def test_the_other_nodes_lead_to_the_cluster_when_the_configured_one_has_died(tmp_path: Path) -> None:
    with cluster(tmp_path) as ports:
        cache = open_cache(at(ports[0]), info())
        cache.store([CacheEntry(each, label()) for each in HASHES])
        assert await looked_up(cache, HASHES) == [label()] * len(HASHES)
        move_slots(ports, 0, 1)
        clients: list[Any] = [redis.Redis(port=port, protocol=2, driver_info=None) for port in ports]
        os.kill(clients[0].info("server")["process_id"], 9)
        for each in clients[1:]:  # every connection is lost too
            each.execute_command("CLIENT", "KILL", "TYPE", "normal")
        for each in clients:
            each.close()
        assert await looked_up(cache, HASHES, 20) == [label()] * len(HASHES)
        until(lambda: cache.store([CacheEntry(each, label()) for each in HASHES]))
        await cache.aclose()


async def test_after_a_failover_the_sentinel_names_the_new_primary(tmp_path: Path) -> None:
    first, second = find_ports(2)
    with (
        valkey(tmp_path / "a", first) as old,
        valkey(tmp_path / "b", second, "--replicaof", "127.0.0.1", str(first)) as new,
        sentinel(tmp_path / "s", {"mymaster": first}) as port,
        redis.Redis(port=port, protocol=2, driver_info=None) as client,
    ):
        watching: Any = client  # its commands have no types
        watching.execute_command("SENTINEL", "DEBUG", "INFO-PERIOD", "200")
        watching.execute_command("SENTINEL", "SET", "mymaster", "down-after-milliseconds", "1000")
        cache = open_cache(at(port), info())
        assert cache.store([CacheEntry(each, label()) for each in HASHES])
        assert await looked_up(cache, HASHES) == [label()] * len(HASHES)
        until(lambda: new.dbsize() == len(HASHES))
        until(lambda: bool(watching.execute_command("SENTINEL", "REPLICAS", "mymaster")))
        with capture_logs() as told:
            os.kill(old.info("server")["process_id"], 9)
            assert await cache.lookup(HASHES) == [None] * len(HASHES)
            until(lambda: new.execute_command("ROLE")[0] == b"master")
            assert await looked_up(cache, HASHES, 20) == [label()] * len(HASHES)
            until(lambda: cache.store([CacheEntry(TWO, label())]))
        await cache.aclose()
        assert [line["event"] for line in told].count(READS_FAIL) == 1
        assert all("<" not in str(line) for line in told)


def move_slots(ports: list[int], source: int, target: int) -> None:
    """All slots of one node, with their keys, to another."""
    clients: list[Any] = [redis.Redis(port=port, protocol=2, driver_info=None) for port in ports]
    ids = [client.execute_command("CLUSTER", "MYID").decode() for client in clients]
    ranges = [found for found in clients[source].execute_command("CLUSTER", "SLOTS") if found[2][1] == ports[source]]
    for first, last, *_ in ranges:
        for slot in range(first, last + 1):
            keys = clients[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
            if keys:
                clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
                clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
                clients[source].execute_command("MIGRATE", "127.0.0.1", ports[target], "", 0, 5000, "KEYS", *keys)
        for client in clients:
            with client.pipeline(transaction=False) as moved:
                for slot in range(first, last + 1):
                    moved.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
                moved.execute()
    for client in clients:
        client.close()
