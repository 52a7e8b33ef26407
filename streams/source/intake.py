"""Frames from the source topic into the stage, and their end back to the bookkeeping of offsets."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from mode import CrashingSupervisor

from infra.failures.outcomes import FrameRecord
from infra.kafka.groups import Ticket
from infra.kafka.records import ConsumedRecord
from infra.process import logs, metrics
from infra.process.lifecycle import Deadline
from schemas.coordinates import TopicPartition
from schemas.errors import Stalled
from streams.source.app import StreamApp
from streams.source.consumer import JumpMessage
from streams.source.gone import gone_frames, gone_record
from streams.stage.frame_stage import FrameStage
from streams.stage.frames import PendingFrame

log = logs.get(__name__)

REVOKE_BUDGET_S = 3.0


def consumed_record(message: Any) -> ConsumedRecord:
    """The record of a Faust message, whose timestamp is in seconds."""
    return ConsumedRecord(
        message.topic,
        message.partition,
        message.offset,
        round(message.timestamp * 1000),
        message.key,
        message.value,
        message.headers,
    )


class Intake:
    """One Faust agent with concurrency 1 over `noack().events()`: only this class decides which frames are finished.

    Faust's `take()` and its automatic acks lose frames when anything fails; see
    tests/unit/streams/source/test_app.py. For the event loop; any thread may read `partitions`.
    """

    def __init__(self, app: StreamApp, topic: str, stage: FrameStage, fail: Callable[[BaseException], None]) -> None:
        self._app, self._commits, self._stage, self._fail = app, app.commits, stage, fail
        # The partitions of this member; None while it is not in the group.
        self.partitions: frozenset[int] | None = None
        self._member: tuple[int, str] | None = None
        self._instance_id: str | None = app.conf.consumer_group_instance_id
        channel = app.topic(topic, key_serializer="raw", value_serializer="raw")
        app.agent(channel, name="frames", concurrency=1, supervisor_strategy=CrashingSupervisor)(self._read)
        app.on_partitions_revoked.connect(cast(Any, self._on_revoked))
        app.on_partitions_assigned.connect(cast(Any, self._on_assigned))

    def not_ready(self) -> str | None:
        """None once the group has given this member its partitions (which may be none), else what is missing."""
        return None if self.partitions is not None else "not yet in the consumer group"

    async def drain(self, budget_s: float) -> bool:
        """Wait until every frame in flight has its outcome; False when the time is over first."""
        deadline, progress = Deadline(budget_s), self._commits.progress
        self._stage.close_window()
        while progress.pending() and not deadline.expired():  # noqa: ASYNC110 - there is a time limit as well
            await asyncio.sleep(0.01)
        return not progress.pending()

    async def _read(self, stream: Any) -> None:
        await self._stage.gate.wait()
        async for event in stream.noack().events():
            self._take(event.message)
            await self._stage.gate.wait()

    def _take(self, message: Any) -> None:
        if isinstance(message, JumpMessage):
            self._jump(message)
            return
        ticket = self._commits.begin(message)
        if ticket is None:
            return
        record = FrameRecord.of(consumed_record(message))
        commits, captured_ms = self._commits, record.captured_ms
        self._stage.take(
            PendingFrame(record, lambda: commits.finish(ticket, captured_ms), lambda: commits.is_wanted(ticket))
        )

    def _jump(self, message: JumpMessage) -> None:
        """Reading goes on elsewhere. What is gone has its dead letter before anything is committed past it."""
        point, partition = message.point, TopicPartition(*message.tp)
        if not self._commits.is_current(message):
            return
        if not point.goes_on:
            self._commits.begin_anew(partition)
        if point.to_commit is not None:
            self._commits.progress.set_beginning(partition, point.to_commit)
        if not point.gone:
            return
        bad = gone_frames(partition, point)
        log.error("frames are gone from their topic", why=bad.detail)
        ticket = self._commits.begin_at(partition, point.gone[-1])
        if ticket is not None:
            skipped = 0 if point.may_have_read else len(point.gone)
            record = gone_record(partition, point.gone)
            self._stage.take(PendingFrame(record, lambda: self._finish_gone(ticket, skipped), gone=bad))

    def _finish_gone(self, ticket: Ticket[None], skipped: int) -> None:
        metrics.FRAMES_SKIPPED.inc(skipped)
        self._commits.finish(ticket)

    async def _on_revoked(self, _app: StreamApp, revoked: Any, **_: Any) -> None:
        progress = self._commits.progress
        in_flight = progress.pending()
        if not await self.drain(REVOKE_BUDGET_S):
            log.warning("frames in flight at a rebalance will be read again", frames=progress.pending())
        await self._commits.commit_within(REVOKE_BUDGET_S)
        self.partitions = None
        if revoked:
            log.info("partitions revoked", partitions=len(revoked), in_flight=in_flight)

    async def _on_assigned(self, _app: StreamApp, assigned: Any, **_: Any) -> None:
        self._refuse_a_twin()
        self.partitions = frozenset(tp.partition for tp in assigned)
        log.info("partitions assigned", partitions=len(assigned), generation=self._app.consumer_generation_id)

    def _refuse_a_twin(self) -> None:
        """End the process when another one is in the group under the same group.instance.id.

        The broker gave this static member a new member id in the same generation: a twin replaced it, and it replaced
        the twin. aiokafka does not know the error FENCED_INSTANCE_ID (KIP-345), so the two would do that for ever.
        """
        member, before = self._app.member(), self._member
        self._member = member
        if self._instance_id and before is not None and before[0] == member[0] and before[1] != member[1]:
            self._fail(
                Stalled(f"another process is in the group as stream.group_instance_id = {self._instance_id!r} too")
            )
