"""How the data behind a Redis address is reached: at one server, in a cluster through any of its nodes, or at the
primary that a Sentinel names. What the server answers tells it, and no setting. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    MovedError,
    RedisClusterException,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
    TryAgainError,
)

_OF_A_CLUSTER = (MovedError, AskError, TryAgainError, ClusterCrossSlotError, ClusterDownError)


@dataclass(frozen=True, slots=True)
class Route:
    """`primary`: the name under which the Sentinels watch it."""

    kind: Literal["single", "cluster", "sentinel"] = "single"
    primary: str = ""

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
    if route.kind == "cluster" and isinstance(fault, RedisClusterException):
        # No cluster any more, or none of its nodes answers.
        return route if isinstance(fault, SlotNotCoveredError) else SINGLE
    return route


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
