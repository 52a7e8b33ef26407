"""Burrow's evaluator, rule by rule (linkedin/Burrow 1.9.5, core/internal/evaluator/caching.go). Pure.

It stands beside our own evaluator for people who know its answers, with its weaknesses: `infra.lag.rules.evaluate`
names and repairs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from infra.lag.rules.status import LagStatus, group_status
from schemas.coordinates import TopicPartition


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of a partition. `order` is its offset in `__consumer_offsets`.

    `lag` is what waited at the moment of the commit, as far as the broker's end offset was known then; None for a
    commit that arrived after a later one.
    """

    offset: int
    order: int
    timestamp_ms: int
    lag: int | None
    observed_ms: int = 0


class PartitionView(NamedTuple):
    """What Burrow keeps of one partition of a group: the last `intervals` commits, oldest first, and end offsets.

    `broker_offsets` are the last end offsets seen, newest last. `current_lag` is the newest of them less the last
    committed offset, and never negative.
    """

    commits: Sequence[Commit]
    broker_offsets: Sequence[int]
    current_lag: int
    intervals: int = 10
    owner: str = ""
    client_id: str = ""
    # Somebody has read it, so that Burrow keeps empty places for its commits.
    has_places: bool = False


class PartitionVerdict(NamedTuple):
    """A partition's state. `complete`: the share of the `intervals` commits that are known."""

    partition: TopicPartition
    status: LagStatus
    current_lag: int
    complete: float
    start: Commit | None
    end: Commit | None
    owner: str = ""
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class GroupVerdict:
    """A group's state. `complete`: the share of its partitions whose commits are known in full."""

    status: LagStatus
    complete: float
    partitions: list[PartitionVerdict]
    max_lag: PartitionVerdict | None
    total_lag: int


def judge_group(
    views: dict[TopicPartition, PartitionView], now_s: int, allowed_lag: int = 0, minimum_complete: float = 0.0
) -> GroupVerdict:
    """The state of a group that exists. `now_s` is the time in whole seconds, as Burrow takes it."""
    partitions = [
        judge_partition(partition, view, now_s, allowed_lag, minimum_complete) for partition, view in views.items()
    ]
    complete = sum(one.complete == 1.0 for one in partitions) / len(partitions) if partitions else 0.0
    return GroupVerdict(
        status=group_status([one.status for one in partitions]),
        complete=complete,
        partitions=partitions,
        max_lag=max(partitions, key=lambda one: one.current_lag, default=None),
        total_lag=sum(one.current_lag for one in partitions),
    )


def judge_partition(
    partition: TopicPartition, view: PartitionView, now_s: int, allowed_lag: int = 0, minimum_complete: float = 0.0
) -> PartitionVerdict:
    """A partition without a commit, or with too few of them for `minimum_complete`, is OK."""
    commits = view.commits
    # Of empty places alone Burrow counts one.
    complete = min(1.0, max(len(commits), int(view.has_places)) / view.intervals)
    status = LagStatus.OK
    if commits and complete >= minimum_complete:
        status = partition_status(commits, view.broker_offsets, view.current_lag, now_s, allowed_lag)
    start, end = (commits[0], commits[-1]) if commits else (None, None)
    return PartitionVerdict(partition, status, view.current_lag, complete, start, end, view.owner, view.client_id)


def partition_status(
    commits: Sequence[Commit], broker_offsets: Sequence[int], current_lag: int, now_s: int, allowed_lag: int = 0
) -> LagStatus:
    """The first rule that holds decides. `commits` has one commit at least."""
    if current_lag <= allowed_lag:
        return LagStatus.OK
    if offsets_stopped(commits, now_s) and not recent_lag_zero(commits, broker_offsets):
        return LagStatus.STOP
    rewind = offsets_rewind_index(commits)
    if rewind > 0 and not rewind_recovered(commits, rewind):
        return LagStatus.REWIND
    if is_lag_always_not_zero(commits, allowed_lag):
        if offsets_stalled(commits):
            return LagStatus.STALL
        if lag_not_decreasing(commits):
            return LagStatus.WARN
    return LagStatus.OK


def is_lag_always_not_zero(commits: Sequence[Commit], allowed_lag: int = 0) -> bool:
    """No commit had a lag of `allowed_lag` or less."""
    return all(one.lag is None or one.lag > allowed_lag for one in commits)


def offsets_rewind_index(commits: Sequence[Commit]) -> int:
    """The first commit below its predecessor, or -1. Later ones are not looked for."""
    for index in range(1, len(commits)):
        if commits[index].offset < commits[index - 1].offset:
            return index
    return -1


def rewind_recovered(commits: Sequence[Commit], index: int) -> bool:
    """From `index` on, the group has come back to where it was before."""
    before = commits[index - 1].offset
    return any(one.offset >= before for one in commits[index:])


def offsets_stopped(commits: Sequence[Commit], now_s: int) -> bool:
    """The silence since the last commit is longer than the time between the first and the last one."""
    first_ms, last_ms = commits[0].timestamp_ms, commits[-1].timestamp_ms
    return now_s * 1000 - last_ms > last_ms - first_ms


def offsets_stalled(commits: Sequence[Commit]) -> bool:
    """Every commit has the same offset. One commit alone counts."""
    first = commits[0].offset
    return commits[-1].offset == first and all(one.offset == first for one in commits)


def lag_not_decreasing(commits: Sequence[Commit]) -> bool:
    """The lag falls between no two commits whose lag is known."""
    last = -1
    for one in commits:
        if one.lag is not None and one.lag < last:
            return False
        last = last if one.lag is None else one.lag
    return True


def recent_lag_zero(commits: Sequence[Commit], broker_offsets: Sequence[int]) -> bool:
    """Some end offset that is kept lies at or below the last commit: the group was up to date not long ago."""
    return any(end <= commits[-1].offset for end in broker_offsets)
