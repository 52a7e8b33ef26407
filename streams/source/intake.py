"""Frames from the source topic into the stage, and their acks back to Faust: the only code that touches events."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from mode import CrashingSupervisor

from infra.failures.outcomes import FrameRecord
from infra.process import logs
from infra.process.lifecycle import Deadline
from schemas.coordinates import Coordinates
from schemas.errors import Stalled
from streams.source.acks import OrderedAcks
from streams.source.app import StreamApp
from streams.stage.frames import Taken
from streams.stage.stage import Stage

log = logs.get(__name__)

REVOKE_BUDGET_S = 3.0


class Intake:
    """One agent, concurrency 1, `noack().events()`: what is acked is decided here alone, in order.

    `take()` and automatic acks lose frames when anything fails; see tests/unit/streams/source/test_app.py.
    """

    def __init__(self, app: StreamApp, topic: str, stage: Stage, fail: Callable[[BaseException], None]) -> None:
        self._app, self._stage, self._fail = app, stage, fail
        # None while it is in no group.
        self.partitions: frozenset[int] | None = None
        self._member: tuple[int, str] | None = None
        self._instance_id: str | None = app.conf.consumer_group_instance_id
        self.acks: OrderedAcks[Any] = OrderedAcks(self._finish, lambda: app.consumer_generation_id)
        channel = app.topic(topic, key_serializer="raw", value_serializer="raw")
        app.agent(channel, name="frames", concurrency=1, supervisor_strategy=CrashingSupervisor)(self._read)
        app.on_partitions_revoked.connect(cast(Any, self._on_revoked))
        app.on_partitions_assigned.connect(cast(Any, self._on_assigned))

    def not_ready(self) -> str | None:
        """None once the group has given us our share (which may be nothing), else what is missing."""
        return None if self.partitions is not None else "not yet in the consumer group"

    async def drain(self, budget_s: float) -> bool:
        """Wait until every frame taken has its outcome; False when the time is over first."""
        deadline = Deadline(budget_s)
        self._stage.close_window()
        while self.acks.pending() and not deadline.expired():  # noqa: ASYNC110 - an end of the time is part of it
            await asyncio.sleep(0.01)
        return not self.acks.pending()

    async def _read(self, stream: Any) -> None:
        await self._stage.gate.wait()
        async for event in stream.noack().events():
            self._take(event)
            await self._stage.gate.wait()

    def _finish(self, message: Any) -> None:
        self._app.commits.finish(message)

    def _take(self, event: Any) -> None:
        message = event.message
        ticket = self.acks.take(message.topic, message.partition, message.offset, message.generation_id, message)
        record = FrameRecord(
            Coordinates(message.topic, message.partition, message.offset),
            round(message.timestamp * 1000),
            message.key,
            message.value,
            message.headers,
        )
        self._stage.take(Taken(record, lambda: self.acks.done(ticket)))

    async def _on_revoked(self, _app: StreamApp, revoked: Any, **_: Any) -> None:
        pending = self.acks.pending()
        if not await self.drain(REVOKE_BUDGET_S):
            log.warning("frames under way at a rebalance will be read again", frames=self.acks.pending())
        await self._app.commits.commit_within(REVOKE_BUDGET_S)
        self.partitions = None
        if revoked:
            log.info("partitions revoked", partitions=len(revoked), under_way=pending)

    async def _on_assigned(self, _app: StreamApp, assigned: Any, **_: Any) -> None:
        self._refuse_a_twin()
        self.acks.forget_old()
        self.partitions = frozenset(tp.partition for tp in assigned)
        log.info("partitions assigned", partitions=len(assigned), generation=self._app.consumer_generation_id)

    def _refuse_a_twin(self) -> None:
        """A static member that is given another name in the same generation was replaced by its twin, and did the same.

        aiokafka would go on so for ever: it does not know FENCED_INSTANCE_ID (KIP-345).
        """
        member, before = self._app.member(), self._member
        self._member = member
        if self._instance_id and before is not None and before[0] == member[0] and before[1] != member[1]:
            self._fail(
                Stalled(f"another process is in the group as stream.group_instance_id = {self._instance_id!r} too")
            )
