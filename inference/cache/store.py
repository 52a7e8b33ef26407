"""The key-value store under the cache, and what can go wrong with it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import redis
import redis.asyncio

from infra.redis.client import connect, connect_async
from infra.settings import Settings

# Everything that a Redis that is down, slow, full or misconfigured can raise here.
FAULTS: tuple[type[Exception], ...] = (redis.RedisError, OSError, TimeoutError, asyncio.TimeoutError)


class KeyValues(Protocol):
    """Each call is one round trip. It does everything it was asked to, or raises one of FAULTS.

    `get_many` answers every key, with None where there is no value.
    """

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]: ...

    def set_many(self, values: Mapping[str, bytes], ttl_s: int) -> None: ...

    def ping(self) -> None: ...

    async def aclose(self) -> None: ...

    def close(self) -> None: ...


class RedisKeyValues:
    """Connections are opened at first use. `ping` has a connection of its own: it may run during a `set_many`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout_s = settings.redis.timeout_ms / 1000
        self._sync: redis.Redis | None = None
        self._async: redis.asyncio.Redis | None = None

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        if self._async is None:
            self._async = connect_async(self._settings)
        # over the whole call: connecting takes several steps, each with a time-out of its own
        async with asyncio.timeout(self._timeout_s):
            values: Any = await self._async.mget(keys)
        if not isinstance(values, list) or len(values) != len(keys):
            raise redis.InvalidResponse(f"MGET of {len(keys)} keys was answered with {values!r:.100}")
        # a proxy such as Envoy answers a key whose shard is down with an error in place of the value
        return [value if isinstance(value, bytes) else None for value in values]

    def set_many(self, values: Mapping[str, bytes], ttl_s: int) -> None:
        if self._sync is None:
            self._sync = connect(self._settings)
        pipeline: Any = self._sync.pipeline(transaction=False)
        for key, value in values.items():
            pipeline.set(key, value, ex=ttl_s)
        pipeline.execute()

    def ping(self) -> None:
        with connect(self._settings) as client:
            client.ping()

    async def aclose(self) -> None:
        if self._async is not None:
            await self._async.aclose()
            self._async = None

    def close(self) -> None:
        if self._sync is not None:
            self._sync.close()
            self._sync = None
