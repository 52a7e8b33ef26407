"""The publisher on a real broker keeps the contract of every sender."""

from collections.abc import Iterator

import pytest

from infra.kafka.publisher import Publisher
from tests.support.deployment import Deployment
from tests.support.sender_contract import QUEUE_BYTES, SenderContract


class TestPublisher(SenderContract):
    @pytest.fixture
    def topic(self, deployment: Deployment) -> str:
        return deployment.topics.frames

    @pytest.fixture
    def sender(self, deployment: Deployment) -> Iterator[Publisher]:
        held_back = {"linger.ms": 60_000, "batch.size": QUEUE_BYTES}
        settings = deployment.settings(kafka={"max_producer_queue_bytes": QUEUE_BYTES, "producer": held_back})
        publisher = Publisher(settings)
        yield publisher
        assert publisher.close() == 0
