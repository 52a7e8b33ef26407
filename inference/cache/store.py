"""What the cache needs of a key-value store, on Redis and in memory; one contract suite runs on both."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import redis
import redis.asyncio

from infra.redis.client import connect, connect_async
from infra.settings import Settings

# All that a Redis that is dead, slow, full or misconfigured can raise here.
FAULTS: tuple[type[Exception], ...] = (redis.RedisError, OSError, TimeoutError, asyncio.TimeoutError)


class KeyValues(Protocol):
    """Each call is one round trip and raises one of FAULTS, or does all it was asked to.

    `get_many` answers every key, with None where there is no value to be had.
    """

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]: ...

    def set_many(self, values: Mapping[str, bytes], ttl_s: int) -> None: ...

    def ping(self) -> None: ...

    async def aclose(self) -> None: ...

    def close(self) -> None: ...


class RedisKeyValues:
    """Connections are opened at first use. `ping` has a client of its own: it may run beside a `set_many`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout_s = settings.redis.timeout_ms / 1000
        self._sync: redis.Redis | None = None
        self._async: redis.asyncio.Redis | None = None

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        if self._async is None:
            self._async = connect_async(self._settings)
        # over the whole call: connecting is several steps, each with a time-out of its own
        async with asyncio.timeout(self._timeout_s):
            values: Any = await self._async.mget(keys)
        if not isinstance(values, list) or len(values) != len(keys):
            raise redis.InvalidResponse(f"MGET of {len(keys)} keys was answered with {values!r:.100}")
        # a proxy such as Envoy answers a key whose shard is away with an error in the key's place
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


class MemoryKeyValues:
    """A cache of this process alone, for tests and for runs without Redis; the oldest values go beyond `max_bytes`.

    Time to live is not kept: what is in memory does not outlive the process.
    """

    def __init__(self, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._values: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        with self._lock:
            return [self._values.get(key) for key in keys]

    def set_many(self, values: Mapping[str, bytes], ttl_s: int) -> None:
        with self._lock:
            for key, value in values.items():
                self._bytes += len(value) - len(self._values.pop(key, b""))
                self._values[key] = value
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._values.popitem(last=False)[1])

    def ping(self) -> None:
        return

    async def aclose(self) -> None:
        return

    def close(self) -> None:
        return
