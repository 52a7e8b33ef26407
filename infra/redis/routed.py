"""Clients that find out by the answers how the data is reached: one for a thread, one for an event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import redis

from infra.process import logs
from infra.redis.client import (
    FAULTS,
    AsyncClient,
    Client,
    aclose,
    close,
    cluster_nodes,
    connect,
    connect_async,
    fault_text,
)
from infra.redis.route import SINGLE, Route, RouteChanged, may_be_sentinel, next_route, with_nodes
from infra.settings import Settings

log = logs.get(__name__)

T = TypeVar("T")
Tell = Callable[[Route], None]


class _Routed:
    """`route` is that of the next client. `tell` is called when it is found not to be that of a single server."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._settings, self._tell = settings, tell
        self.route = SINGLE

    def _turn(self, used: Route, client: Client | AsyncClient | None, fault: Exception, role: object) -> None:
        """After a fault of a client of the route `used`; another call may have turned from it before.

        Raises RouteChanged when the next client is worth a try at once; the way back to one server is a fault.
        """
        if self.route == used:
            known = cluster_nodes(client) if client is not None else []
            self.route = next_route(with_nodes(used, known), fault, role)
        if self.route in (used, SINGLE):
            return
        self._tell(self.route)
        raise RouteChanged(f"the data is reached in another way: {self.route}") from fault


class RoutedClient(_Routed):
    """For one thread. It connects at the first use and after each fault: the name is then resolved anew."""

    def __init__(self, settings: Settings, tell: Tell = lambda _: None, *, timeout_ms: int | None = None) -> None:
        super().__init__(settings, tell)
        self._timeout_ms = timeout_ms
        self._client: Client | None = None

    def ask(self, operation: Callable[[Any], T]) -> T:
        """What the operation returns, which gets a client. Raises one of FAULTS."""
        try:
            return self._ask(operation)
        except RouteChanged:
            return self._ask(operation)

    def close(self) -> None:
        if self._client is not None:
            close(self._client)
            self._client = None

    def _ask(self, operation: Callable[[Any], T]) -> T:
        role: object = None
        try:
            if self._client is None:
                self._client = connect(self._settings, self.route, timeout_ms=self._timeout_ms)
            try:
                return operation(self._client)
            except redis.ResponseError as fault:
                if may_be_sentinel(self.route, fault):
                    role = _role(self._client)
                raise
        except FAULTS as fault:
            failed = self._client
            self.close()
            self._turn(self.route, failed, fault, role)
            raise


@dataclass(frozen=True, slots=True)
class _InUse:
    client: AsyncClient
    route: Route


class RoutedAsyncClient(_Routed):
    """The same for one event loop, in which calls overlap."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        super().__init__(settings, tell)
        self._in_use: _InUse | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def ask(self, operation: Callable[[Any], Awaitable[T]], timeout_s: float) -> T:
        """What the operation returns within that time. Raises one of FAULTS.

        RouteChanged means that the same call can succeed at once; the first use of a cluster takes a while.
        """
        role: object = None
        if self._in_use is None:
            self._in_use = _InUse(connect_async(self._settings, self.route), self.route)
        used = self._in_use
        try:
            # over the whole call: connecting takes several steps, each with a time-out of its own
            async with asyncio.timeout(timeout_s):
                try:
                    return await operation(used.client)
                except redis.ResponseError as fault:
                    if may_be_sentinel(used.route, fault):
                        role = await _async_role(used.client)
                    raise
        except FAULTS as fault:
            self._drop(used)
            self._turn(used.route, used.client, fault, role)
            raise

    async def aclose(self) -> None:
        if self._in_use is not None:
            self._drop(self._in_use)
        if self._closing:
            await asyncio.wait(self._closing)

    def _drop(self, used: _InUse) -> None:
        """Close it without waiting, unless another call has done so already."""
        if self._in_use is used:
            self._in_use = None
            task = asyncio.get_running_loop().create_task(_closed(used.client))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _role(client: Any) -> object:
    """None where it is refused: by a proxy, or to a user without the right to it."""
    try:
        return client.execute_command("ROLE")
    except FAULTS:
        return None


async def _async_role(client: Any) -> object:
    try:
        return await client.execute_command("ROLE")
    except FAULTS:
        return None


async def _closed(client: AsyncClient) -> None:
    try:
        await aclose(client)
    except FAULTS as fault:
        log.debug("a connection to Redis was not closed in order", error=fault_text(fault))
