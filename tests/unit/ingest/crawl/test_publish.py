"""Frames of a crawl of more hosts than are numbered at once."""

import asyncio

import pytest

from ingest.crawl.publish import Publishing
from tests.support.crawl_site import jpeg
from tests.support.memory_sender import MemorySender
from tests.unit.ingest.publish.test_outbox import Rig


def test_many_hosts_are_numbered_without_a_frame_id_twice_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.crawl.publish.MAX_HOSTS", 4)
    rig = Rig(MemorySender())
    publishing = Publishing(rig.outbox, 1000, lambda: False)

    async def publish() -> None:
        for number in range(30):
            await publish_one(f"host-{number % 10}", number)

    async def publish_one(host: str, number: int) -> None:
        one = asyncio.ensure_future(publishing(f"http://{host}/{number}", "", host, jpeg(number)))
        while not one.done():
            await asyncio.sleep(0.001)
            rig.sender.flush(0.0)

    asyncio.run(publish())
    publishing.close()
    frames = rig.frames()
    assert len({frame.frame_id for frame in frames}) == len(frames) == 30
    assert len(rig.outbox._next_seq) <= 4 and rig.outbox.delivered().total() == 30
    numbers: dict[tuple[str, int], int] = {}
    for frame in frames:
        key = frame.source_id, frame.stream_epoch
        assert frame.frame_seq == numbers.get(key, 0)
        numbers[key] = frame.frame_seq + 1
    epochs = [frame.stream_epoch for frame in frames]
    assert epochs == sorted(epochs)
