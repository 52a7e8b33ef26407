"""The key-value store under the cache, and what can go wrong with it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster

from infra.process import logs
from infra.redis.client import FAULTS, AsyncClient, Client, aclose, close, connect, connect_async
from infra.redis.route import SINGLE, Route, RouteChanged, may_be_sentinel, next_route, sentinel_route
from infra.settings import Settings

log = logs.get(__name__)


class KeyValues(Protocol):
    """Each call does everything it was asked to, or raises one of FAULTS. One round trip, to each node of a cluster.

    RouteChanged means that the same call can succeed at once with another client, which the next call makes.
    """

    async def get_many(self, keys: Sequence[str], timeout_s: float | None = None) -> list[bytes | None]:
        """Answers every key, with None where there is no value, within `timeout_s` or the store's own time-out."""

    def set_many(self, values: Mapping[str, bytes], ttl_s: int) -> None: ...

    async def aclose(self) -> None: ...

    def close(self) -> None: ...


class RedisKeyValues:
    """Connections are opened at first use. After a fault all are closed: the next call resolves the name anew.

    `get_many` is for one event loop and `set_many` for one thread; each finds out by itself whether Redis is one
    server, a cluster or a Sentinel.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout_s = settings.redis.timeout_ms / 1000
        self._sync: Client | None = None
        self._sync_route = SINGLE
        self._async: AsyncClient | None = None
        self._async_route = SINGLE
        self._closing: set[asyncio.Task[None]] = set()
        self._told: set[Route] = {SINGLE}

    async def get_many(self, keys: Sequence[str], timeout_s: float | None = None) -> list[bytes | None]:
        if self._async is None:
            self._async = connect_async(self._settings, self._async_route)
        client = self._async
        try:
            # over the whole call: connecting takes several steps, each with a time-out of its own
            async with asyncio.timeout(self._timeout_s if timeout_s is None else timeout_s):
                try:
                    values = await _get_many(client, keys)
                except redis.ResponseError as fault:
                    if may_be_sentinel(self._async_route, fault):
                        found: Any = client
                        self._turn_async(sentinel_route(await found.execute_command("ROLE")), fault)
                    raise
        except FAULTS as fault:
            self._drop(client)
            self._turn_async(next_route(self._async_route, fault), fault)
            raise
        if not isinstance(values, list) or len(values) != len(keys):
            raise redis.InvalidResponse(f"MGET of {len(keys)} keys was answered with {values!r:.100}")
        # a proxy such as Envoy answers a key whose shard is down with an error in place of the value
        return [value if isinstance(value, bytes) else None for value in values]

    def set_many(self, values: Mapping[str, bytes], ttl_s: int) -> None:
        try:
            self._set_many(values, ttl_s)
        except RouteChanged:
            self._set_many(values, ttl_s)

    async def aclose(self) -> None:
        if self._async is not None:
            self._drop(self._async)
        if self._closing:
            await asyncio.wait(self._closing)

    def close(self) -> None:
        if self._sync is not None:
            close(self._sync)
            self._sync = None

    def _set_many(self, values: Mapping[str, bytes], ttl_s: int) -> None:
        try:
            if self._sync is None:
                self._sync = connect(self._settings, self._sync_route)
            client: Any = self._sync
            try:
                pipeline = client.pipeline(transaction=False)
                for key, value in values.items():
                    pipeline.set(key, value, ex=ttl_s)
                pipeline.execute()
            except redis.ResponseError as fault:
                if may_be_sentinel(self._sync_route, fault):
                    self._turn_sync(sentinel_route(client.execute_command("ROLE")), fault)
                raise
        except FAULTS as fault:
            self.close()
            self._turn_sync(next_route(self._sync_route, fault), fault)
            raise

    def _drop(self, client: AsyncClient) -> None:
        """Close it without waiting, unless another call has done so already."""
        if self._async is client:
            self._async = None
            task = asyncio.get_running_loop().create_task(_closed(client))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _turn_async(self, route: Route, fault: Exception) -> None:
        before, self._async_route = self._async_route, route
        self._tell_change(before, route, fault)

    def _turn_sync(self, route: Route, fault: Exception) -> None:
        before, self._sync_route = self._sync_route, route
        self._tell_change(before, route, fault)

    def _tell_change(self, before: Route, route: Route, fault: Exception) -> None:
        """Raises RouteChanged when the next client is worth a try at once; the way back to one server is a fault."""
        if route in (before, SINGLE):
            return
        if route not in self._told:
            self._told.add(route)
            log.info("Redis is not a single server", found=str(route))
        raise RouteChanged(f"the data is reached in another way: {route}") from fault


async def _get_many(client: AsyncClient, keys: Sequence[str]) -> Any:
    """Of a cluster each key by itself: its keys are spread over the nodes. A key whose node fails has an error."""
    if not isinstance(client, redis.asyncio.cluster.RedisCluster):
        return await client.mget(keys)
    pipeline: Any = client.pipeline()
    for key in keys:
        pipeline.get(key)
    values = await pipeline.execute(raise_on_error=False)
    faults = [value for value in values if isinstance(value, Exception)]
    if len(faults) == len(values):
        raise faults[0]
    return values


async def _closed(client: AsyncClient) -> None:
    try:
        await aclose(client)
    except FAULTS as fault:
        log.debug("a connection to Redis was not closed in order", error=f"{type(fault).__name__}: {fault}")
