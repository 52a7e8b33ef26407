"""How aiokafka asks for metadata, with its own client and request."""

import asyncio
from typing import Any

from aiokafka import client as aiokafka_client
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataRequest_v5

from streams.source import metadata


def test_no_request_lets_a_broker_create_a_topic() -> None:
    metadata.install()
    request: Any = aiokafka_client.MetadataRequest(["frames.raw"])
    assert request.build(MetadataRequest_v5).allow_auto_topic_creation is False


class Client(AIOKafkaClient):  # type: ignore[misc]
    """Every request is answered at once, as by a broker that does not have the topic."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0

    async def _metadata_update(self, *_: Any) -> bool:
        self.requests += 1
        return True


async def asked(calm: bool, seconds: float) -> int:
    """How often metadata is asked for by a fetcher that looks for the leader of a topic that is gone."""
    client = Client()
    if calm:
        metadata.calm(client)
    synchronizer = asyncio.ensure_future(client._md_synchronizer())
    end_s = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end_s:
        await client.force_metadata_update()
    synchronizer.cancel()
    return client.requests


async def test_a_topic_that_is_gone_is_not_asked_for_in_a_circle() -> None:
    assert await asked(calm=False, seconds=0.3) > 100, "aiokafka was mended"
    assert 2 <= await asked(calm=True, seconds=3.5 * metadata.PAUSE_S) <= 5


async def test_a_first_request_is_made_at_once() -> None:
    client = Client()
    metadata.calm(client)
    synchronizer = asyncio.ensure_future(client._md_synchronizer())
    assert await asyncio.wait_for(client.force_metadata_update(), metadata.PAUSE_S / 2)
    synchronizer.cancel()
