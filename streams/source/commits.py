"""A Faust consumer that commits by the bookkeeping of `infra.kafka.groups` and not by Faust's own."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from faust.transport.consumer import Consumer
from faust.types import TP

from infra.kafka.groups import GroupProgress, Ticket
from infra.process import logs, metrics
from schemas.coordinates import Coordinates, TopicPartition

log = logs.get(__name__)

BEFORE_REVOKE_S = 3.0


class _ReadEverything(dict[Any, Any]):
    """In place of the offsets below which Faust drops records: nothing that was fetched is dropped."""

    def __getitem__(self, _partition: Any) -> None:
        return None

    def __setitem__(self, _partition: Any, _offset: Any) -> None:
        pass


class CommitsByHand(Consumer):
    """Mixed into a Faust consumer. What it commits comes from `progress`; acks of Faust have no effect.

    Faust's own bookkeeping commits over a message in flight when acks come out of order (faust-streaming/faust#606).
    It also looks for offsets without a record (transaction markers, aborted or compacted records) and stumbles over
    them: behind such a gap after offset 0 it never commits again, and elsewhere it commits one series of adjacent
    offsets at a time. And it drops records below its own read offset, in a topic that was made again for example.
    A partition of which `max_ahead` messages lie behind one that is not finished is held. From the half of that on,
    each message calls `on_ahead` with the place that lies as far before it. For the event loop; any thread may read
    `commits`, `uncommitted` and `held`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.progress: GroupProgress[None] = GroupProgress()
        self.commits = 0  # successful commits that moved an offset forward
        self._read_offset = _ReadEverything()
        self.max_ahead = sys.maxsize
        self.on_ahead: Callable[[Coordinates], None] = lambda _: None
        # Partitions that are not read on for now. Any thread may read it; it is replaced, never changed.
        self.held: frozenset[TopicPartition] = frozenset()
        self._generation: int | None = None
        self._offered = self._settled = 0

    @property
    def uncommitted(self) -> int:
        """Messages of this generation that are finished, with all before them, and not committed yet."""
        return self.progress.completed - self._settled

    def begin(self, message: Any) -> Ticket[None] | None:
        """A message was read. None for one of a past generation, which must be ignored: the next owner reads it."""
        return self.begin_at(TopicPartition(*message.tp), message.offset) if self.is_current(message) else None

    def begin_at(self, partition: TopicPartition, offset: int) -> Ticket[None] | None:
        """Reading has come to this offset. One that is not behind the last one begins the partition anew."""
        last = self.progress.last_read(partition)
        if last is not None and offset <= last:
            log.warning("offsets of a partition come once more", partition=str(partition), last=last, offset=offset)
            self.begin_anew(partition)
        ticket = self.progress.start(partition, offset, None)
        if self.progress.ahead(partition) >= self.max_ahead and partition not in self.held:
            log.warning("a partition waits for its oldest frame", partition=str(partition), frames=self.max_ahead)
            self.held |= {partition}
        if self.progress.ahead(partition) > self.max_ahead // 2:
            self.on_ahead(Coordinates(*partition, offset - self.max_ahead // 2))
        return ticket

    def is_current(self, message: Any) -> bool:
        """Whether the message was read in the present generation."""
        return bool(message.generation_id == self._generation)

    def is_wanted(self, ticket: Ticket[None]) -> bool:
        """Whether the message is still ours: after a rebalance its next owner reads it again."""
        return self.progress.generation(ticket.topic_partition) == ticket.generation

    def begin_anew(self, partition: TopicPartition) -> None:
        """The log of this partition is another one or was cut: nothing that was read of it before counts any more."""
        if self.progress.generation(partition) is not None:
            self.progress.assign([partition])
        self.held -= {partition}
        self._settled = self.progress.completed

    def finish(self, ticket: Ticket[None], captured_ms: int | None = None) -> None:
        """The outcome of the message is on the broker. Without effect when its generation is over."""
        self.progress.finish(ticket, captured_ms)
        if self.held and self.progress.ahead(ticket.topic_partition) < self.max_ahead:
            self.held -= {ticket.topic_partition}

    def ack(self, _message: Any) -> bool:
        """Nothing: Faust also acks messages that it skips, those of a past generation among them."""
        return False

    async def commit_within(self, budget_s: float) -> None:
        """Commit what is finished. Whatever is not committed in time is read again, not lost.

        The commit goes on after that time: if it were cancelled while Faust waits for another one, Faust would start
        one more and wait for that.
        """
        commit = asyncio.ensure_future(self.commit())
        done, _ = await asyncio.wait({commit}, timeout=budget_s)
        if done:
            commit.result()
        else:
            metrics.COMMIT_FAILURES.labels("stream", metrics.UNCONFIRMED).inc()
            log.warning("a commit was not answered in time; its frames may be read again")

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Nothing: `progress` needs no list of the offsets without a record."""

    def _filter_committable_offsets(self, _tps: Iterable[Any]) -> dict[Any, int]:
        """The offsets to commit, for all partitions and not only for those where Faust knows of an ack."""
        self._offered = self.progress.completed
        return {TP(*partition): offset for partition, offset in self.progress.to_commit().items()}

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        offered = self._offered
        committed: bool = await super()._commit(offsets)  # type: ignore[safe-super]
        if committed:
            self.commits += self.progress.committed(offsets)
            self._settled = max(self._settled, offered)
        return committed

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """All partitions are taken away: Faust's group protocol is eager.

        What is finished is committed first, because waiting for frames in flight may take longer than this process
        remains a member. After the wait, whatever is still in flight counts no more.
        """
        await self.commit_within(BEFORE_REVOKE_S)
        await super().on_partitions_revoked(revoked)
        self.progress.revoke(self.progress.partitions())

    async def on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        """A new generation begins. Whatever is not committed by now is read again, by us or by another member."""
        self._generation, self._settled, self.held = generation_id, self.progress.completed, frozenset()
        self.progress.revoke(self.progress.partitions())
        self.progress.assign(TopicPartition(*one) for one in assigned)
        await super().on_partitions_assigned(assigned, generation_id)
