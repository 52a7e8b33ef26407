"""Redis clients with short time-outs: the cache may be unavailable, and no frame may wait for it.

They speak RESP2 and send no command but those of the caller: servers before Redis 6 and proxies such as twemproxy know
neither HELLO nor CLIENT SETINFO, and the cache needs nothing of RESP3. `?protocol=3` in the URL overrules it.
"""

from typing import Any

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.cluster
import redis.connection
import redis.retry
import redis.sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException

from infra.local.state import read_state
from infra.redis.route import SINGLE, Route
from infra.settings import Settings, home
from schemas.errors import Unavailable

DEFAULT_URL = "redis://127.0.0.1:6379/0"

# Everything that a Redis that is down, slow, full or misconfigured can raise in a client.
FAULTS: tuple[type[Exception], ...] = (redis.RedisError, RedisClusterException, OSError, TimeoutError)

# A client of one server, of a cluster, or of what the Sentinels name as the primary. All have the commands used here.
Client = redis.Redis | redis.cluster.RedisCluster
AsyncClient = redis.asyncio.Redis | redis.asyncio.cluster.RedisCluster


def fault_text(fault: BaseException) -> str:
    """The reason alone: without the commands and values of a pipeline, and without the client's own description."""
    reason = str(fault).rpartition(" of pipeline caused error: ")[2]
    for rest in (" : <", ", with args beginning with"):
        reason = reason.partition(rest)[0]
    return f"{type(fault).__name__}: {reason or 'no answer in time'}"


def cluster_nodes(client: Client | AsyncClient) -> list[tuple[str, int]]:
    """Host and port of each node that the client of a cluster knows; empty for another client."""
    if not isinstance(client, redis.cluster.RedisCluster | redis.asyncio.cluster.RedisCluster):
        return []
    nodes: Any = client.get_nodes()
    return [(str(node.host), int(node.port)) for node in nodes]


def redis_url(settings: Settings) -> str:
    """The configured URL, else that of the local service that is up, else Redis's default address."""
    configured = settings.redis.url.get_secret_value()
    if configured:
        return configured
    state = read_state(home())
    return (state.redis_url if state else "") or DEFAULT_URL


def connect(settings: Settings, route: Route = SINGLE, *, timeout_ms: int | None = None) -> Client:
    """A client with the time-out `redis.timeout_ms`, or with `timeout_ms` for a request that no frame waits for.

    For a cluster this asks its nodes for their slots. Names are resolved with each new connection.
    """
    url, keys = redis_url(settings), _keys(timeout_ms or settings.redis.timeout_ms)
    if url.startswith("rediss:"):
        keys["redis_connect_func"] = _read_tickets if route.kind == "cluster" else _connected
    if route.kind == "cluster":
        keys["retry"] = redis.retry.Retry(NoBackoff(), 0)
        make_node: Any = redis.cluster.ClusterNode  # the class has no types
        keys["startup_nodes"] = [make_node(host, port) for host, port in route.nodes]
        return redis.cluster.RedisCluster.from_url(url, **keys, require_full_coverage=False)
    if route.kind == "sentinel":
        addresses, options, database = _sentinel_options(url)
        shared = {**keys, **options}
        make: Any = redis.sentinel.Sentinel  # the class has no types
        primary: redis.Redis = make(addresses, sentinel_kwargs=shared, **shared).master_for(route.primary, **database)
        return primary
    return redis.Redis.from_url(url, **keys)


def connect_async(settings: Settings, route: Route = SINGLE) -> AsyncClient:
    """The same for an event loop. Nothing is asked before the first use, also for a cluster.

    Its time-out is `redis.start_timeout_ms`, for a first use that no frame waits for; others give each use its own.
    """
    url, keys = redis_url(settings), _keys(settings.redis.start_timeout_ms)
    if route.kind == "cluster":
        keys["retry"] = redis.asyncio.retry.Retry(NoBackoff(), 0)
        keys["startup_nodes"] = [redis.asyncio.cluster.ClusterNode(host, port) for host, port in route.nodes]
        return redis.asyncio.cluster.RedisCluster.from_url(url, **keys, require_full_coverage=False)
    if route.kind == "sentinel":
        addresses, options, database = _sentinel_options(url)
        shared = {**keys, **options}
        make: Any = redis.asyncio.sentinel.Sentinel
        primary: redis.asyncio.Redis = make(addresses, sentinel_kwargs=shared, **shared).master_for(
            route.primary, **database
        )
        return primary
    return redis.asyncio.Redis.from_url(url, **keys)


def close(client: Client) -> None:
    """Close its connections, and those to the Sentinels, which the client of a primary leaves open."""
    client.close()
    for sentinel in _sentinels(client):
        sentinel.close()


async def aclose(client: AsyncClient) -> None:
    await client.aclose()
    for sentinel in _sentinels(client):
        await sentinel.aclose()


def _sentinels(client: object) -> list[Any]:
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return list(manager.sentinels) if manager is not None else []


def redis_answers(settings: Settings) -> bool:
    """Whether it answers PING within `redis.start_timeout_ms`; a refused password counts as no answer."""
    return answers_ping(connect(settings, timeout_ms=settings.redis.start_timeout_ms))


def answers_ping(client: Client) -> bool:
    """Whether the server answers PING within the time-outs of the client, which is closed afterwards."""
    try:
        return bool(client.ping())
    except FAULTS:
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
    except FAULTS as error:
        raise Unavailable(
            "Redis",
            _address(settings),
            f"{str(error).rstrip('.')}. {_way_out(error)}, or go without: --no-cache",
        ) from error
    finally:
        client.close()


def _way_out(error: Exception) -> str:
    """What to do about that answer to PING."""
    if "certificate" in str(error).lower():
        return (
            "Add `?ssl_ca_certs=FILE` to redis.url for a certificate that no public authority signed, "
            "or take any with `?ssl_cert_reqs=none`"
        )
    if "select" in str(error).lower():
        return "Leave the number of the database out of redis.url: a cluster has one"
    return "Start one with `sightline up`, name yours in SIGHTLINE_REDIS__URL"


def _address(settings: Settings) -> str:
    """Host and port, or the path of the socket."""
    found = _parts(redis_url(settings))
    return str(found.get("path") or f"{found.get('host', '127.0.0.1')}:{found.get('port', 6379)}")


def _connected(connection: Any) -> None:
    connection.on_connect()
    _read_tickets(connection)


def _read_tickets(connection: Any) -> None:
    """A server of TLS 1.3 sends session tickets before its first answer. Until that is read, the client's pool takes
    them for an answer that was left behind, and refuses the connection.
    """
    connection.send_command("PING")
    connection.read_response()


def _keys(timeout_ms: int) -> dict[str, Any]:
    timeout_s = timeout_ms / 1000
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": None,
        "protocol": 2,
        "driver_info": None,
    }


def _sentinel_options(url: str) -> tuple[list[tuple[str, int]], dict[str, Any], dict[str, Any]]:
    """The Sentinel's address; what its connections and those to the primary have in common (user, password, TLS); and
    the database, which a Sentinel has not.
    """
    found = _parts(url)
    database = {"db": found["db"]} if found.get("db") else {}
    options = {key: value for key, value in found.items() if key not in ("host", "port", "db", "connection_class")}
    if url.startswith("rediss:"):
        options["ssl"] = True
    return [(found.get("host", "127.0.0.1"), found.get("port", 26379))], options, database


def _parts(url: str) -> dict[str, Any]:
    parse: Any = redis.connection.parse_url  # the function has no types
    found: dict[str, Any] = parse(url)
    return found
