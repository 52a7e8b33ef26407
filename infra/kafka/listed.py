"""What a cluster tells of its consumer groups and logs. Pure."""

from dataclasses import dataclass

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
