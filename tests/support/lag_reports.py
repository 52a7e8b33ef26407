"""Reports for the tests of what is made of them."""

from infra.lag.reports import GroupReport, PartitionReport
from infra.lag.rules.lag_time import LagTimeKind
from infra.lag.rules.status import LagStatus
from schemas.coordinates import TopicPartition


def partition_report(number: int = 0, lag: int = 20, **fields: object) -> PartitionReport:
    known: dict[str, object] = {
        "partition": TopicPartition("frames.raw", number),
        "status": LagStatus.OK,
        "cause": "",
        "current_lag": lag,
        "committed": 100,
        "start": 0,
        "end": 100 + lag,
        "lag_s": 3.0 if lag else None,
        "lag_s_kind": LagTimeKind.EXACT,
        "member_id": "m-1",
        "client_id": "stream",
        "host": "10.0.0.7",
    }
    return PartitionReport(**{**known, **fields})  # type: ignore[arg-type]


def group_report(status: LagStatus = LagStatus.OK, group: str = "g", **fields: object) -> GroupReport:
    partitions = fields.pop("partitions", [partition_report()])
    known: dict[str, object] = {
        "group": group,
        "kind": "classic",
        "state": "Stable",
        "status": status,
        "burrow_status": LagStatus.OK,
        "cause": "no member reads" if status is LagStatus.ERR else "",
        "members": 2,
        "total_lag": sum(one.current_lag for one in partitions),  # type: ignore[attr-defined]
        "lag_s": 3.0,
        "lag_s_kind": LagTimeKind.EXACT,
        "eta_s": None,
        "trend_per_s": 0.0,
        "written_per_s": 100.0,
        "lost": 0,
        "partitions": partitions,
    }
    return GroupReport(**{**known, **fields})  # type: ignore[arg-type]
