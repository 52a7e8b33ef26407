"""Whether Redis does what the cache asks of it."""

from dataclasses import dataclass
from typing import Any

import redis

from infra.redis.client import FAULTS, close, connect
from infra.redis.route import SINGLE, Route, may_be_sentinel, next_route, sentinel_route
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
    route, read_fault = _attempt(settings, SINGLE, lambda client: read_many(client, keys))
    route, store_fault = _attempt(settings, route, lambda client: client.set(keys[0], b"1", ex=KEY_TTL_S))
    return RedisUse(route, read_fault, store_fault)


def read_many(client: Any, keys: list[str]) -> Any:
    """Of a cluster each key by itself: its keys are spread over the nodes."""
    if not isinstance(client, redis.RedisCluster):
        return client.mget(keys)
    pipeline: Any = client.pipeline()  # type: ignore[no-untyped-call]
    for key in keys:
        pipeline.get(key)
    return pipeline.execute()


def _attempt(settings: Settings, route: Route, operation: Any) -> tuple[Route, str]:
    """The route by which the operation works or fails at last, and why it fails."""
    for _ in range(2):
        try:
            client = connect(settings, route, timeout_ms=settings.redis.start_timeout_ms)
            try:
                operation(client)
                return route, ""
            except redis.ResponseError as fault:
                better = next_route(route, fault)
                if may_be_sentinel(route, fault):
                    better = sentinel_route(client.execute_command("ROLE"))  # type: ignore[no-untyped-call]
                if better == route:
                    return route, str(fault)
                route = better
            finally:
                close(client)
        except FAULTS as fault:
            return route, str(fault)
    return route, "its answers change between those of one server and those of a cluster"
