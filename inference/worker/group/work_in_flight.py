"""The worker's bookkeeping: `GroupProgress` by piece of work, the number of frames in flight, and the last commit."""

import time
from collections.abc import Iterable, Mapping

from inference.device.work import Work
from infra.kafka.groups import GroupProgress, Ticket
from schemas.coordinates import TopicPartition


class WorkInFlight(GroupProgress[Work]):
    """Changed by the poll thread alone; any thread may read `is_current_work`, `numbers` and the two figures.

    `frames` are those of work that is started and not finished. `last_commit_s` is the time (`time.monotonic`) of the
    last commit that made progress, at first that of the start; the watchdog compares it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tickets: dict[Work, Ticket[Work]] = {}
        self.frames = 0
        self.last_commit_s = time.monotonic()

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        assigned = list(partitions)
        self._forget(assigned)
        super().assign(assigned)

    def revoke(self, partitions: Iterable[TopicPartition]) -> None:
        revoked = list(partitions)
        self._forget(revoked)
        super().revoke(revoked)

    def numbers(self) -> frozenset[int]:
        """The numbers of the partitions that this worker owns."""
        return frozenset(partition.partition for partition in self.partitions())

    def start_work(self, work: Work) -> None:
        ticket = self.start(work.record.topic_partition, work.record.offset, work)
        if ticket is not None:
            self._tickets[work] = ticket
            self.frames += work.frames

    def is_current_work(self, work: Work) -> bool:
        """Whether its partition is still owned, in the generation that the work was read in."""
        return self.generation(work.record.topic_partition) == work.generation

    def finish_work(self, work: Work) -> bool:
        """The outcome of all its frames is on the broker. False, without effect, when its generation is over."""
        ticket = self._tickets.pop(work, None)
        if ticket is None:
            return False
        self.frames -= work.frames
        return self.finish(ticket, work.newest_ms)

    def committed(self, offsets: Mapping[TopicPartition, int]) -> bool:
        has_moved = super().committed(offsets)
        if has_moved:
            self.last_commit_s = time.monotonic()
        return has_moved

    def _forget(self, partitions: list[TopicPartition]) -> None:
        for work in self.in_flight(partitions):
            del self._tickets[work]
            self.frames -= work.frames
