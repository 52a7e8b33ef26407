"""What the broker must be asked where a client begins to read, and where it jumps.

The first commit of a partition of which its group has committed nothing: the offset at which reading begins. And the
offsets that the client passed over because retention had removed them, of which it does not tell.

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
        self._new: set[TopicPartition] = set()
        self._jumps: dict[TopicPartition, range] = {}

    def on_assign(self, partitions: Iterable[TopicPartition]) -> None:
        assigned = list(partitions)
        self._new.update(assigned)
        self._lookup.want(assigned)

    def on_revoke(self, partitions: Iterable[TopicPartition]) -> None:
        revoked = list(partitions)
        self._new.difference_update(revoked)
        for partition in revoked:
            self._jumps.pop(partition, None)
        self._lookup.forget(revoked)

    def jumped(self, partition: TopicPartition, offsets: range) -> None:
        """The client passed over these offsets: without a record, or gone from the log. The broker is asked."""
        known = self._jumps.get(partition, offsets)
        self._jumps[partition] = range(known.start, offsets.stop)
        self._lookup.want([partition])

    def look(self, now_s: float) -> dict[TopicPartition, list[range]]:
        """Give `progress` the beginnings that are known now. Returns offsets that were gone unread. Never waits."""
        gone: dict[TopicPartition, list[range]] = {}
        for partition, offsets in self._lookup.found(now_s).items():
            passed = [self._jumps.pop(partition, range(0))]
            if partition in self._new:
                self._new.discard(partition)
                if offsets.committed is None:
                    self._progress.set_beginning(partition, offsets.first)
                else:
                    passed.append(range(offsets.committed, offsets.first))
            found = [range(one.start, min(one.stop, offsets.first)) for one in passed]
            if any(found):
                gone[partition] = [one for one in found if one]
        return gone
