"""Faust's consumer as the stream stage needs it: its fetches, where it reads, and how jumps reach the reader."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from infra.kafka.errors import FaultKind
from infra.kafka.start_offsets import StartOffsets, StartPoint
from infra.kafka.topic_ids import TopicIds, note_of
from infra.process import metrics
from infra.settings import MIB
from streams.source import metadata
from streams.source.commits import CommitsByHand
from streams.source.positions import Positions

FETCH_MAX_WAIT_MS = 50
FETCH_MIN_BYTES = MIB
# How long a fetch takes at most while a partition waits for its start.
START_LOOK_S = 0.05


class JumpMessage(ConsumerMessage):
    """Takes the place of a record where reading goes on elsewhere, so that it comes in its turn."""

    __slots__ = ("point",)

    def __init__(self, tp: Any, point: StartPoint, generation_id: int) -> None:
        topic, partition = tp
        super().__init__(
            topic, partition, point.offset, 0.0, 0, [], None, b"", None, tp=tp, generation_id=generation_id
        )
        self.point = point


async def commit_with_ids(commit: Callable[[Any], Awaitable[None]], topic_ids: TopicIds, offsets: Any) -> None:
    """aiokafka's commit, with the id of the topic beside each offset, as in every group of ours."""
    noted = {
        partition: OffsetAndMetadata(found.offset, note_of(topic_ids.get(partition.topic)))
        for partition, found in offsets.items()
    }
    try:
        await commit(noted)
    except Exception as error:
        metrics.COMMIT_FAILURES.labels("stream", failure_word(error)).inc()
        raise


def failure_word(error: Exception) -> str:
    """The kind of an error of aiokafka, in the words of `infra.kafka.errors`."""
    if isinstance(error, (CommitFailedError, IllegalStateError)):
        kind = FaultKind.OUT_OF_GROUP
    elif isinstance(error, (GroupAuthorizationFailedError, TopicAuthorizationFailedError)):
        kind = FaultKind.FORBIDDEN
    else:
        kind = FaultKind.PASSING if getattr(error, "retriable", False) else FaultKind.OTHER
    return kind.name.lower()


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Makes the aiokafka consumer with our arguments, and reads a partition once its start is known.

    Faust has no setting for many of the arguments.
    """

    positions: Positions

    async def on_start(self) -> None:
        self.positions = Positions(StartOffsets(self.app.offsets_client()))  # type: ignore[attr-defined]
        await super().on_start()

    def _create_worker_consumer(self, transport: Any) -> Any:
        self._assignor = RoundRobinPartitionAssignor
        app: Any = self.app
        if app.family:
            _resolve_only(self.thread_loop, app.family)
        consumer = AIOKafkaConsumer(partition_assignment_strategy=[self._assignor], **app.consumer_arguments)
        metadata.calm(consumer._client)
        consumer.commit = partial(commit_with_ids, consumer.commit, app.topic_ids)
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None = None,  # noqa: ASYNC109 - as Faust has it
        max_records: int | None = None,
    ) -> Any:
        """The next records of partitions whose start is known; jumps come before the records behind them."""
        if not self.consumer.flow_active:
            return {}
        jumps = self.positions.look(consumer)
        # Records of held partitions stay in the fetcher. Faust's own way to pause a partition drops them.
        held = cast(CommitsByHand, self.consumer).held
        active = {one for one in active_partitions if one in self.positions.started and one not in held}
        if jumps:
            return {TP(*partition): found for partition, found in jumps.items()}
        if not active:
            await asyncio.sleep(START_LOOK_S)
            return {}
        if self.positions.waits:
            timeout = START_LOOK_S
        try:
            return await super()._fetch_records(consumer, active, timeout, max_records)
        except OffsetOutOfRangeError as error:
            self.positions.refused(consumer, error.args[0])
        except NoOffsetForPartitionError:
            pass  # from before its start: aiokafka found nothing committed
        return {}


def _resolve_only(loop: asyncio.AbstractEventLoop, family: int) -> None:
    """Connections of this loop use addresses of that family: aiokafka cannot be told."""
    resolve = loop.getaddrinfo

    async def of_family(*place: Any, **hints: Any) -> Any:
        return await resolve(*place, **{**hints, "family": family})

    loop.getaddrinfo = of_family  # type: ignore[method-assign]


class Consumer(CommitsByHand, driver.Consumer):
    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Faust asks for the committed offsets after a rebalance, or when it has thrown away what it fetched."""
        cast(ConsumerThread, self._thread).positions.again()

    def _to_message(self, tp: Any, record: Any) -> Any:
        if isinstance(record, StartPoint):
            return JumpMessage(tp, record, self.app.consumer_generation_id)
        return super()._to_message(tp, record)

    async def wait_first(self, *waits: Any, timeout: Any = None) -> Any:  # noqa: ASYNC109 - as Faust has it
        """Hand a message over directly when there is room for it.

        Faust uses four tasks for each message, so that a rebalance can interrupt one that waits for room.
        """
        if len(waits) == 2 and self.app.has_room():  # type: ignore[attr-defined]
            hand_over, suspended = waits
            suspended.close()
            return await hand_over
        return await super().wait_first(*waits, timeout=timeout)

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Nothing: Faust's check for stalls only logs and is often wrong; `streams.watch` replaces it."""


class Transport(driver.Transport):
    Consumer = Consumer
