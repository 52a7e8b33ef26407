"""Faust's consumer with its acks and commits in our hands."""

import asyncio
from collections.abc import Mapping
from typing import Any

from faust.transport.consumer import Consumer

from infra.process import logs

log = logs.get(__name__)

BEFORE_REVOKE_S = 3.0


class CommitsByHand(Consumer):
    """Mixed into a consumer of Faust's, for the event loop: nothing is acked but by `finish`, commits are counted.

    Offsets without a record (a transaction's markers, what it aborted, what was compacted) hold nothing up: messages
    are finished in order, so all before the last finished one is done with. Faust looks for holes itself, and stumbles
    over them: behind offset 0 it commits nothing any more, elsewhere one run of neighbouring offsets each time.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commits = 0  # that succeeded, each with an offset further than the one before
        self._finished = self._settled = 0

    @property
    def uncommitted(self) -> int:
        """Messages that were finished in this generation and wait for a commit."""
        return self._finished - self._settled

    def ack(self, _message: Any) -> bool:
        """Nothing: Faust acks what it leaves out (`noack` or not), messages of a past generation among it."""
        return False

    def finish(self, message: Any) -> None:
        """The message has its outcome and all before it in its partition have: its offset may be committed."""
        if super().ack(message):
            self._finished += 1

    async def commit_within(self, budget_s: float) -> None:
        """Commit what is finished; what is not committed in time is read again, not lost.

        It goes on when the time is over: cancelled while another is under way, Faust would start one more and wait.
        """
        commit = asyncio.ensure_future(self.commit())
        done, _ = await asyncio.wait({commit}, timeout=budget_s)
        if done:
            commit.result()
        else:
            log.warning("a commit was not answered in time; its frames may be read again")

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Nothing needs to be known of it."""

    def _new_offset(self, tp: Any) -> int | None:
        finished = self._acked[tp]
        if not finished:
            return None
        offset: int = max(finished) + 1
        finished.clear()
        self._acked_index[tp].clear()
        return offset

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        finished = self._finished
        committed: bool = await super()._commit(offsets)  # type: ignore[safe-super]
        if committed:
            self.commits += 1
            self._settled = max(self._settled, finished)
        return committed

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Faust forgets what is finished and not committed before it asks anybody, so that is committed first."""
        await self.commit_within(BEFORE_REVOKE_S)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        """What was not committed by now is read again."""
        self._settled = self._finished
        await super().on_partitions_assigned(assigned, generation_id)
