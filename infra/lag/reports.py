"""The verdicts as other code gets them: a group, its partitions, its lag in records and in seconds. Pure."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from infra.lag.rules.lag_time import LagTimeKind
from infra.lag.rules.status import LagStatus
from schemas.coordinates import TopicPartition


class PartitionReport(NamedTuple):
    """`committed` is None where the group never committed; `end` is None for a partition that cannot be looked at.

    `retention_s`: for how long the topic keeps records, infinite for ever; None while that is not known.
    """

    partition: TopicPartition
    status: LagStatus
    cause: str
    current_lag: int
    committed: int | None
    start: int | None
    end: int | None
    lag_s: float | None = None
    lag_s_kind: LagTimeKind = LagTimeKind.NONE
    trend_per_s: float = 0.0
    written_per_s: float = 0.0
    eta_s: float | None = None
    lost: int = 0
    member_id: str = ""
    client_id: str = ""
    host: str = ""
    retention_s: float | None = None

    @property
    def retention_share(self) -> float | None:
        """The part of the retention that the oldest unread record has lived; None where either is not known."""
        return None if self.lag_s is None or not self.retention_s else self.lag_s / self.retention_s


@dataclass(frozen=True, slots=True)
class GroupReport:
    """`status`: our evaluator's, `burrow_status`: Burrow's; the cause is that of the worst partition.

    `lag_s`: the longest wait of any unread record; `eta_s`: when the last partition has caught up. `trend_per_s`:
    records a second by which the lag grows; `written_per_s`: records a second that come. `members` is
    None where the cluster does not tell.
    """

    group: str
    kind: str
    state: str
    status: LagStatus
    burrow_status: LagStatus
    cause: str
    members: int | None
    total_lag: int
    lag_s: float | None
    lag_s_kind: LagTimeKind
    eta_s: float | None
    trend_per_s: float
    written_per_s: float
    lost: int
    partitions: list[PartitionReport]

    @property
    def committed_per_s(self) -> float:
        """Records a second that the group finishes, over the window."""
        return max(0.0, self.written_per_s - self.trend_per_s)

    def as_json(self) -> dict[str, Any]:
        """The object of `sightline lag --json`. Its keys are a contract."""
        return {
            "group": self.group,
            "status": str(self.status),
            "burrow_status": str(self.burrow_status),
            "state": self.state,
            "members": self.members,
            "total_lag": self.total_lag,
            "lag_s": self.lag_s,
            "lag_s_kind": str(self.lag_s_kind),
            "cause": self.cause,
            "eta_s": self.eta_s,
            "lost": self.lost,
            "partitions": [_partition_json(one) for one in self.partitions],
        }


def _partition_json(report: PartitionReport) -> dict[str, Any]:
    return {
        "topic": report.partition.topic,
        "partition": report.partition.partition,
        "status": str(report.status),
        "current_lag": report.current_lag,
        "lag_s": report.lag_s,
        "lag_s_kind": str(report.lag_s_kind),
        "committed": report.committed,
        "end": report.end,
        # As Kafka writes it: -1 for ever.
        "retention_s": -1 if report.retention_s == math.inf else report.retention_s,
        "cause": report.cause,
    }
