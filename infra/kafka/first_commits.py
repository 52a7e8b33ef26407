"""The first commit of a partition of which its group has committed nothing: the offset at which reading begins.

Without a committed offset, autoscalers and monitors take a partition without records for one that is never read. For
members whose client finds the beginning by itself; `infra.kafka.start_offsets` is for those that start by hand.
"""

from collections.abc import Iterable
from typing import Any

from infra.kafka.groups import GroupProgress
from infra.kafka.offsets_lookup import OffsetsClient, OffsetsLookup
from infra.process.lifecycle import Start, in_thread
from schemas.coordinates import TopicPartition


class FirstCommits:
    """For the thread that owns `progress`; another one asks the broker.

    The broker is asked after the partition was assigned: nobody else commits for it any more.
    """

    def __init__(self, client: OffsetsClient, progress: GroupProgress[Any], start: Start = in_thread) -> None:
        self._lookup, self._progress = OffsetsLookup(client, start), progress

    def on_assign(self, partitions: Iterable[TopicPartition]) -> None:
        self._lookup.want(partitions)

    def on_revoke(self, partitions: Iterable[TopicPartition]) -> None:
        self._lookup.forget(partitions)

    def look(self, now_s: float) -> None:
        """Give `progress` the beginnings that are known now. Never waits."""
        for partition, offsets in self._lookup.found(now_s).items():
            if offsets.committed is None:
                self._progress.set_beginning(partition, offsets.first)
