"""One look at the consumer groups of a cluster, as data. Pure."""

from dataclasses import dataclass, field
from functools import cached_property

from infra.kafka.listed import ClusterTopics, GroupMember, ListedGroup, LogEnds
from infra.lag.rules.lag_time import Unread
from schemas.coordinates import TopicPartition


@dataclass(frozen=True)
class GroupLook:
    """A group at one moment. `members` is None, and `refused` says why, where the cluster does not tell.

    A group that is not listed has the state "" and no member.
    """

    group: ListedGroup
    members: list[GroupMember] | None
    committed: dict[TopicPartition, int]
    refused: str = ""

    @cached_property
    def partitions(self) -> set[TopicPartition]:
        """Those that it has committed and those that a member of it reads."""
        return {*self.committed, *(one for member in self.members or () for one in member.partitions)}

    @cached_property
    def owners(self) -> dict[TopicPartition, GroupMember]:
        """The member that reads a partition, of those that are read."""
        return {partition: member for member in self.members or () for partition in member.partitions}


@dataclass(frozen=True, slots=True)
class ClusterLook:
    """All groups at one moment. `at_s`: of the monotonic clock; `wall_ms`: since 1970.

    `ends`: of the partitions that exist. `gone`: partitions without a topic. `failed`: those of which nothing is known.
    `retention_s`: for how long a topic keeps records, infinite for ever; unknown for a topic that it lacks.
    `bare`: committed offsets behind which the log holds no record for anybody, transaction markers alone.
    """

    at_s: float
    wall_ms: int
    groups: list[GroupLook]
    ends: dict[TopicPartition, LogEnds]
    gone: set[TopicPartition] = field(default_factory=set)
    failed: dict[TopicPartition, str] = field(default_factory=dict)
    topics: ClusterTopics = field(default_factory=ClusterTopics)
    retention_s: dict[str, float] = field(default_factory=dict)
    bare: frozenset[Unread] = frozenset()
