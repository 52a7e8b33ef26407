"""Redis clients with short time-outs: the cache may be unavailable, and no frame may wait for it."""

import redis
import redis.asyncio

from infra.local.state import read_state
from infra.settings import Settings, home
from schemas.errors import Unavailable

DEFAULT_URL = "redis://127.0.0.1:6379/0"


def redis_url(settings: Settings) -> str:
    """The configured URL, else that of the local service that is up, else Redis's default address."""
    configured = settings.redis.url.get_secret_value()
    if configured:
        return configured
    state = read_state(home())
    return (state.redis_url if state else "") or DEFAULT_URL


def connect(settings: Settings, *, timeout_ms: int | None = None) -> redis.Redis:
    """A client with the time-out `redis.timeout_ms`, or with `timeout_ms` for a request that no frame waits for."""
    timeout_s = (timeout_ms or settings.redis.timeout_ms) / 1000
    return redis.Redis.from_url(
        redis_url(settings),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=None,
        protocol=3,
    )


def connect_async(settings: Settings) -> redis.asyncio.Redis:
    timeout_s = settings.redis.timeout_ms / 1000
    return redis.asyncio.Redis.from_url(
        redis_url(settings),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=None,
        protocol=3,
    )


def redis_answers(settings: Settings) -> bool:
    """Whether it answers PING within `redis.start_timeout_ms`; a refused password counts as no answer."""
    return answers_ping(connect(settings, timeout_ms=settings.redis.start_timeout_ms))


def answers_ping(client: redis.Redis) -> bool:
    """Whether the server answers PING within the time-outs of the client, which is closed afterwards."""
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        client.close()


def require_redis(settings: Settings) -> None:
    """Raises Unavailable when Redis does not answer: one sentence with the address (no password) and what to do.

    Waits up to `redis.start_timeout_ms`, so that a Redis that is slow for a moment does not prevent the start.
    """
    client = connect(settings, timeout_ms=settings.redis.start_timeout_ms)
    try:
        client.ping()
    except redis.RedisError as error:
        pool = client.connection_pool.connection_kwargs
        address = pool.get("path") or f"{pool.get('host', '127.0.0.1')}:{pool.get('port', 6379)}"
        raise Unavailable(
            "Redis",
            str(address),
            f"{error}. Start one with `sightline up`, name yours in SIGHTLINE_REDIS__URL, or go without: --no-cache",
        ) from error
    finally:
        client.close()
