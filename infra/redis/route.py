"""How the data behind a Redis address is reached: at one server, in a cluster through any of its nodes, or at the
primary that a Sentinel names. What the server answers tells it, and no setting. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,
    MovedError,
    RedisClusterException,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
    TimeoutError,
    TryAgainError,
)

_OF_A_CLUSTER = (MovedError, AskError, TryAgainError, ClusterCrossSlotError, ClusterDownError)
_NO_ANSWER = (ConnectionError, TimeoutError, OSError)

MAX_NODES = 16


@dataclass(frozen=True, slots=True)
class Route:
    """`primary`: the name under which the Sentinels watch it. `nodes`: host and port of each node that a cluster had.

    The nodes lead back to the cluster when the configured one has died, so a single server keeps them too.
    """

    kind: Literal["single", "cluster", "sentinel"] = "single"
    primary: str = ""
    nodes: tuple[tuple[str, int], ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"Sentinel, primary {self.primary}" if self.primary else self.kind


SINGLE, CLUSTER = Route(), Route("cluster")


class RouteChanged(RedisError):
    """The server is of another kind than thought. Nothing was done; the same call with a new client may succeed."""


class SeveralPrimaries(RedisError):
    """A Sentinel watches several primaries, and no setting says which one is meant."""


def next_route(route: Route, fault: BaseException, role: object = None) -> Route:
    """The route to try after that fault; the same one where the fault says nothing about the route.

    `role`: the answer to ROLE, to be asked for where `may_be_sentinel`. Raises SeveralPrimaries.
    """
    if may_be_sentinel(route, fault):
        return _sentinel_route(role)
    if route.kind == "single" and isinstance(fault, _OF_A_CLUSTER):
        return CLUSTER
    if route.kind == "single" and route.nodes and isinstance(fault, _NO_ANSWER):
        return replace(route, kind="cluster")
    if route.kind == "cluster" and isinstance(fault, RedisClusterException):
        # No cluster any more, or none of its nodes answers.
        return route if isinstance(fault, SlotNotCoveredError) else replace(route, kind="single")
    return route


def with_nodes(route: Route, nodes: Iterable[tuple[str, int]]) -> Route:
    """The route with the nodes that its client knew, up to MAX_NODES; those before where it knew none."""
    found = tuple(islice(nodes, MAX_NODES))
    return replace(route, nodes=found) if found else route


def may_be_sentinel(route: Route, fault: BaseException) -> bool:
    """A Sentinel keeps no data: it knows none of the commands for them."""
    return route.kind == "single" and isinstance(fault, ResponseError) and "unknown command" in str(fault).lower()


def _sentinel_route(role: object) -> Route:
    """The route by the answer to ROLE, which a Sentinel gives as `["sentinel", [names of the primaries]]`."""
    if not isinstance(role, Sequence) or len(role) < 2 or _text(role[0]) != "sentinel":
        return SINGLE
    names = [_text(name) for name in role[1]]
    if len(names) != 1:
        raise SeveralPrimaries(
            f"a Sentinel that watches {', '.join(names) or 'no primary'}: set redis.url to the server that is meant"
        )
    return Route("sentinel", names[0])


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
