"""How aiokafka asks for metadata: it creates no topic, and does not ask in a circle for one that is gone."""

import asyncio
from functools import partial
from typing import Any

from aiokafka import client
from aiokafka.protocol.metadata import MetadataRequest

# The least time between two requests that the client makes out of its turn.
PAUSE_S = 0.2


def install() -> None:
    """Make every aiokafka client of this process ask without creating topics; aiokafka has no setting for it."""
    client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)


def calm(asking: Any) -> None:
    """Make this client pause between requests: for the leader of a topic that is gone it asks without a pause.

    That was thousands of requests and lines in the log a second.
    """
    ask_now = asking.force_metadata_update
    next_s = 0.0
    waiting: asyncio.Future[Any] | None = None

    async def ask_later(wait_s: float) -> Any:
        nonlocal next_s
        await asyncio.sleep(wait_s)
        next_s = asyncio.get_running_loop().time() + PAUSE_S
        return await ask_now()

    def ask() -> Any:
        nonlocal next_s, waiting
        now_s = asyncio.get_running_loop().time()
        if waiting is not None and not waiting.done():
            return asyncio.shield(waiting)
        if now_s >= next_s:
            next_s = now_s + PAUSE_S
            return ask_now()
        waiting = asyncio.ensure_future(ask_later(next_s - now_s))
        return asyncio.shield(waiting)

    asking.force_metadata_update = ask
