"""The sender in memory, which other tests stand on, keeps the contract of the real one."""

import pytest

from tests.support.memory_sender import MemorySender
from tests.support.sender_contract import QUEUE_BYTES, SenderContract


class TestMemorySender(SenderContract):
    @pytest.fixture
    def topic(self) -> str:
        return "frames.raw"

    @pytest.fixture
    def sender(self) -> MemorySender:
        return MemorySender(max_queue_bytes=QUEUE_BYTES)
