"""What Burrow keeps of a cluster (linkedin/Burrow 1.9.5, core/internal/storage/inmemory.go). Pure.

A commit on a partition whose end offset is not known yet is dropped, as there. A topic of a group has all of its
partitions, also those that the group never committed.
"""

from dataclasses import dataclass, field

from infra.lag.rules.burrow import GroupVerdict, PartitionView, judge_group
from infra.lag.rules.commit_ring import INTERVALS, CommitRing, EndRing
from schemas.coordinates import TopicPartition

EXPIRE_GROUP_S = 604_800


@dataclass(slots=True)
class KeptPartition:
    """A partition of a group; `ring` is None until the group commits it or a member of it reads it."""

    ring: CommitRing | None = None
    owner: str = ""
    client_id: str = ""


@dataclass(slots=True)
class KeptGroup:
    """The partitions of a group by topic, and the time of the last commit."""

    topics: dict[str, list[KeptPartition]] = field(default_factory=dict)
    last_commit_ms: int = 0


class BurrowStore:
    """Takes ends, commits and owners, and answers what Burrow's evaluator and its HTTP API are told."""

    def __init__(self, intervals: int = INTERVALS, min_distance_s: float = 0.0) -> None:
        self._intervals, self._min_distance_s = intervals, min_distance_s
        self._ends: dict[str, list[EndRing]] = {}
        self._groups: dict[str, KeptGroup] = {}

    def add_end(self, partition: TopicPartition, end: int, partition_count: int) -> None:
        """The end offset of a partition was seen; its topic has that many partitions now."""
        rings = self._ends.setdefault(partition.topic, [])
        count = max(partition_count, partition.partition + 1)
        rings.extend(EndRing(self._intervals) for _ in range(len(rings), count))
        rings[partition.partition].add(end)

    def add_commit(
        self, group: str, partition: TopicPartition, offset: int, order: int, timestamp_ms: int, now_ms: int
    ) -> None:
        """A commit was seen; `order` is its offset in `__consumer_offsets`."""
        end = self.end(partition)
        if end is None or timestamp_ms < now_ms - EXPIRE_GROUP_S * 1000:
            return
        kept = self._groups.setdefault(group, KeptGroup())
        place = self._place(kept, partition)
        self._ring(place).add(offset, order, timestamp_ms, end, now_ms)
        if self._ring(place).commits[-1].order == order:
            kept.last_commit_ms = timestamp_ms

    def set_owners(self, group: str, owners: dict[TopicPartition, tuple[str, str]]) -> None:
        """The host and client id of the member that reads a partition; the others are read by nobody."""
        kept = self._groups.get(group)
        if kept is None:
            return
        for partitions in kept.topics.values():
            for one in partitions:
                one.owner = one.client_id = ""
        for partition, (host, client_id) in owners.items():
            if self.end(partition) is not None:
                place = self._place(kept, partition)
                place.owner, place.client_id = host, client_id
                self._ring(place)

    def delete_topic(self, topic: str) -> None:
        self._ends.pop(topic, None)
        for kept in self._groups.values():
            kept.topics.pop(topic, None)

    def delete_group(self, group: str, topic: str = "") -> None:
        """Forget the group, or one topic of it; a group without a topic is forgotten with it."""
        kept = self._groups.get(group)
        if kept is not None and topic:
            kept.topics.pop(topic, None)
        if kept is not None and (not topic or not kept.topics):
            del self._groups[group]

    def end(self, partition: TopicPartition) -> int | None:
        rings = self._ends.get(partition.topic, [])
        ends = rings[partition.partition].ends if partition.partition < len(rings) else []
        return ends[-1] if ends else None

    def topics(self) -> list[str]:
        return list(self._ends)

    def topic(self, topic: str) -> list[int] | None:
        """The end offsets of its partitions; None for a topic that is not known."""
        rings = self._ends.get(topic)
        return None if rings is None else [ring.ends[-1] for ring in rings if ring.ends]

    def groups(self) -> list[str]:
        return list(self._groups)

    def groups_of(self, topic: str) -> list[str]:
        return [name for name, kept in self._groups.items() if topic in kept.topics]

    def group(self, group: str, now_ms: int) -> dict[TopicPartition, PartitionView] | None:
        """Its partitions; None for one that is not known, or has not committed for a week and is forgotten."""
        kept = self._groups.get(group)
        if kept is None:
            return None
        if now_ms - EXPIRE_GROUP_S * 1000 > kept.last_commit_ms:
            del self._groups[group]
            return None
        return {
            TopicPartition(topic, number): self._view(TopicPartition(topic, number), one)
            for topic, partitions in kept.topics.items()
            for number, one in enumerate(partitions)
        }

    def judge(self, group: str, now_ms: int, allowed_lag: int = 0) -> GroupVerdict | None:
        """Burrow's verdict; None, which it calls NOTFOUND, for a group that is not known."""
        views = self.group(group, now_ms)
        return None if views is None else judge_group(views, now_ms // 1000, allowed_lag)

    def _view(self, partition: TopicPartition, kept: KeptPartition) -> PartitionView:
        commits = kept.ring.commits if kept.ring is not None else []
        ends = self._ends[partition.topic][partition.partition].ends if partition.topic in self._ends else []
        lag = max(0, ends[-1] - commits[-1].offset) if commits and ends else 0
        has_places = kept.ring is not None
        return PartitionView(commits, ends, lag, self._intervals, kept.owner, kept.client_id, has_places)

    def _ring(self, kept: KeptPartition) -> CommitRing:
        if kept.ring is None:
            kept.ring = CommitRing(self._intervals, self._min_distance_s)
        return kept.ring

    def _place(self, kept: KeptGroup, partition: TopicPartition) -> KeptPartition:
        partitions = kept.topics.setdefault(partition.topic, [])
        count = max(len(self._ends.get(partition.topic, [])), partition.partition + 1)
        partitions.extend(KeptPartition() for _ in range(len(partitions), count))
        return partitions[partition.partition]
