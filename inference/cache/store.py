"""The key-value store under the cache, and what can go wrong with it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import redis
import redis.asyncio.cluster

from infra.process import logs
from infra.redis.client import AsyncClient
from infra.redis.route import Route
from infra.redis.routed import RoutedAsyncClient, RoutedClient
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
        self._timeout_s = settings.redis.timeout_ms / 1000
        self._reads = RoutedAsyncClient(settings, self._tell)
        self._stores = RoutedClient(settings, self._tell)
        self._told: set[Route] = set()

    async def get_many(self, keys: Sequence[str], timeout_s: float | None = None) -> list[bytes | None]:
        values = await self._reads.ask(
            partial(_get_many, keys=keys), self._timeout_s if timeout_s is None else timeout_s
        )
        if not isinstance(values, list) or len(values) != len(keys):
            raise redis.InvalidResponse(f"MGET of {len(keys)} keys was answered with {values!r:.100}")
        # a proxy such as Envoy answers a key whose shard is down with an error in place of the value
        return [value if isinstance(value, bytes) else None for value in values]

    def set_many(self, values: Mapping[str, bytes], ttl_s: int) -> None:
        self._stores.ask(partial(_set_many, values=values, ttl_s=ttl_s))

    async def aclose(self) -> None:
        await self._reads.aclose()

    def close(self) -> None:
        self._stores.close()

    def _tell(self, route: Route) -> None:
        if route not in self._told:
            self._told.add(route)
            log.info("Redis is not a single server", found=str(route))


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


def _set_many(client: Any, values: Mapping[str, bytes], ttl_s: int) -> None:
    pipeline = client.pipeline(transaction=False)
    for key, value in values.items():
        pipeline.set(key, value, ex=ttl_s)
    pipeline.execute()
