"""What a cluster tells of its consumer groups and logs. Pure."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.coordinates import TopicPartition


@dataclass(frozen=True, slots=True)
class ListedGroup:
    """A group as the cluster lists it. `state`: Stable, Empty, Dead, ...; `kind`: classic, consumer, share, streams."""

    group: str
    state: str
    kind: str

    @property
    def has_offsets(self) -> bool:
        """Whether a client can ask for its committed offsets: not for those of a share group."""
        return self.kind != "share"

    @property
    def may_have_members(self) -> bool:
        return self.state not in ("Empty", "Dead")


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A process that reads for a group, and what it reads."""

    member_id: str
    client_id: str
    host: str
    partitions: frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class LogEnds:
    """`start`: the first offset that the log holds. `stable`: where readers of committed records end. `end`: the end.

    All three are the same for an empty log.
    """

    start: int
    stable: int
    end: int


@dataclass(frozen=True, slots=True)
class PartitionPlace:
    """Where a partition is: broker ids. `leader` is -1 while there is none. `replicas`: the preferred one first."""

    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ClusterTopics:
    """The topics that this user may see, with their partitions by number, and the brokers' addresses by id."""

    topics: dict[str, dict[int, PartitionPlace]] = field(default_factory=dict)
    brokers: dict[int, str] = field(default_factory=dict)

    def has(self, partition: TopicPartition) -> bool:
        return partition.partition in self.topics.get(partition.topic, {})


def matches(group: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether the name matches one of the shell patterns `include` and none of `exclude`. Pure."""
    return any(fnmatch.fnmatchcase(group, one) for one in include) and not any(
        fnmatch.fnmatchcase(group, one) for one in exclude
    )
