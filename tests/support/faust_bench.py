"""Faust's real Stream and Agent machinery over a consumer that talks to no broker and records acks and commits."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import faust
from faust.transport.consumer import Consumer
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from schemas.coordinates import TopicPartition
from streams.source.commits import CommitsByHand

TOPIC = "frames"
PLACE = TP(TOPIC, 0)

Body = Callable[[Any], Awaitable[None]]


class FaustConsumer(Consumer):
    """Faust's own consumer with its abstract methods implemented; acknowledgements go through its real bookkeeping."""

    def __init__(self, app: faust.App) -> None:
        transport = Mock(name="transport", app=app)
        self.committed: list[int] = []
        self.broker_takes = True
        super().__init__(transport, Mock(), AsyncMock(), AsyncMock())

    def acked(self) -> list[int]:
        return sorted(self._acked[PLACE])

    def next_commit(self) -> int | None:
        """The offset that would be committed now. Takes acknowledged offsets off Faust's list, as a commit does."""
        return self._filter_committable_offsets([PLACE]).get(PLACE)

    def set_committed(self, offset: int | None) -> None:
        self._committed_offset[PLACE] = offset

    def assignment(self) -> Any:
        return {PLACE}

    async def _commit(self, offsets: Any) -> bool:
        self.committed.append(dict(offsets)[PLACE])
        return self.broker_takes

    _getmany = create_topic = subscribe = seek_to_committed = seek_wait = _seek = position = Mock()
    earliest_offsets = highwaters = Mock()
    _new_topicpartition = _to_message = topic_partitions = highwater = key_partition = Mock()


class OurConsumer(CommitsByHand, FaustConsumer):
    """The same consumer with the bookkeeping of the stream stage (`CommitsByHand`)."""


FaustConsumer.__abstractmethods__ = OurConsumer.__abstractmethods__ = frozenset()


class Offsets:
    """The offsets that the broker tells: nothing unless the test sets it."""

    def __init__(self) -> None:
        self.known: dict[TopicPartition, tuple[int, int, int]] = {}  # committed (-1001: nothing), first, end

    def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]:
        return {one: self.known[one][0] for one in partitions if one in self.known}

    def log_range(self, partition: TopicPartition, timeout_s: float) -> tuple[int, int] | None:
        return self.known[partition][1:]


class Bench:
    """An app, its recording consumer and one stream to iterate."""

    def __init__(self, consumer: type[FaustConsumer]) -> None:
        self.app = faust.App("pin", store="memory://", stream_wait_empty=False, topic_disable_leader=True)
        self.offsets = Offsets()
        cast(Any, self.app).offsets_client = lambda: self.offsets
        self.app.flow_control.resume()
        self.app.consumer_generation_id = 1
        self.consumer = consumer(self.app)
        self.app.__dict__["consumer"] = self.app._consumer = self.consumer
        cast(Any, self.app.topics)._acking_topics.add(TOPIC)
        self.channel = self.app.topic(TOPIC, value_serializer="raw").clone(is_iterator=True)
        self.stream = self.app.stream(self.channel)

    async def put(self, offset: int, generation: int = 1) -> None:
        message = ConsumerMessage(
            TOPIC, 0, offset, 0.0, 0, [], b"cam", b"frame", None, tp=PLACE, generation_id=generation
        )
        message.incref()
        event = self.app.create_event(b"cam", b"frame", {}, message)
        await self.channel.put(event)

    async def run(self, body: Body, timeout_s: float = 0.3) -> BaseException | None:
        """Run `body` until it ends, raises, or gets nothing more; returns what it raised."""
        task = asyncio.ensure_future(body(self.stream))
        done, _ = await asyncio.wait([task], timeout=timeout_s)
        if not done:
            task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.05)
        return result if isinstance(result, Exception) else None
