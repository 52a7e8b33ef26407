"""Whether Redis does what the cache asks of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis

from infra.redis.client import FAULTS, fault_text
from infra.redis.route import Route
from infra.redis.routed import RoutedClient
from infra.settings import Settings

KEY_TTL_S = 10


@dataclass(frozen=True, slots=True)
class RedisUse:
    """What was found: the route to the data, and why reading or storing is refused, empty where it is not."""

    route: Route
    read_fault: str = ""
    store_fault: str = ""


def redis_use(settings: Settings) -> RedisUse:
    """Does what the cache does, once, with a key of its own: reads several keys, and stores one for some seconds."""
    keys = [f"{settings.topic_prefix}sightline:doctor:{number}" for number in range(3)]
    client = RoutedClient(settings, timeout_ms=settings.redis.start_timeout_ms)
    try:
        read_fault = _fault(client, lambda found: read_many(found, keys))
        store_fault = _fault(client, lambda found: found.set(keys[0], b"1", ex=KEY_TTL_S))
    finally:
        client.close()
    return RedisUse(client.route, read_fault, store_fault)


def read_many(client: Any, keys: list[str]) -> Any:
    """Of a cluster each key by itself: its keys are spread over the nodes."""
    if not isinstance(client, redis.RedisCluster):
        return client.mget(keys)
    pipeline: Any = client.pipeline()  # type: ignore[no-untyped-call]
    for key in keys:
        pipeline.get(key)
    return pipeline.execute()


def _fault(client: RoutedClient, operation: Callable[[Any], object]) -> str:
    try:
        client.ask(operation)
    except FAULTS as fault:
        return fault_text(fault)
    return ""
