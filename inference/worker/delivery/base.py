"""How finished work leaves the worker: what both ways, at least once and exactly once, promise to the rest of it."""

from collections.abc import Collection
from typing import Protocol

from inference.device.work import Work
from infra.kafka.sender import OutRecord
from infra.process.lifecycle import Deadline

# How long to sleep between two looks at work that is waited for.
WAIT_STEP_S = 0.005
# Of the worker in metrics.
STAGE = "infer"


class Delivery(Protocol):
    """All records of a piece of work are written before its offset is committed, never the other way round.

    `release` is called by the thread that makes labels, everything else by the poll thread: offsets, bookkeeping and
    rebalances never run at the same time.
    """

    def release(self, work: Work, records: list[OutRecord]) -> None:
        """Take over complete work, in the order of its partition. Waits while too much is in flight."""

    def tick(self, now_s: float) -> None:
        """Write and commit what is due. Raises Stalled when the promise cannot be kept any more."""

    def finish(self, awaited: Collection[Work], deadline: Deadline) -> None:
        """Before partitions are revoked: write and commit all awaited work, as far as the deadline allows."""

    def close(self, deadline: Deadline) -> None:
        """At the stop, after the last `release`: write and commit what is left, as far as the deadline allows."""
