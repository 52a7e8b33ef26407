"""What was seen of all groups, look by look, and what it means. Pure: the looks come from `infra.lag.look`."""

from collections.abc import Callable, Mapping

from infra.kafka.listed import GroupMember, LogEnds
from infra.lag.look import ClusterLook, GroupLook
from infra.lag.reports import GroupReport, PartitionReport
from infra.lag.rules.burrow_store import BurrowStore
from infra.lag.rules.evaluate import LagLimits, Members, judge_partition
from infra.lag.rules.lag_time import Age, LagTimeKind, Unread
from infra.lag.rules.status import LagStatus, group_status
from infra.lag.rules.window import Sample, SampleWindow
from schemas.coordinates import TopicPartition

NOBODY = GroupMember("", "", "", frozenset())
NO_AGE = Age(None, LagTimeKind.NONE)


class LagHistory:
    """Takes looks, keeps the last minutes of them, and judges. What a look does not have any more is forgotten.

    `limits_of`: the limits of a group; `allowed_lag_of`: how many records may always wait in it. `store`: what Burrow
    would keep; its commits are taken from the looks, unless somebody reads them from the cluster's own log of commits.
    """

    def __init__(
        self,
        limits_of: Callable[[str], LagLimits] = lambda _group: LagLimits(),
        allowed_lag_of: Callable[[str], int] = lambda _group: 0,
        store: BurrowStore | None = None,
    ) -> None:
        self._limits_of, self._allowed_lag_of = limits_of, allowed_lag_of
        self.store = store or BurrowStore()
        self.takes_commits = True
        self._windows: dict[str, dict[TopicPartition, SampleWindow]] = {}
        self._looks = 0

    def add(self, look: ClusterLook) -> None:
        """Take a look into account."""
        self._looks += 1
        for topic in set(self.store.topics()) - look.topics.topics.keys():
            self.store.delete_topic(topic)
        for partition, ends in look.ends.items():
            self.store.add_end(partition, ends.end, len(look.topics.topics.get(partition.topic, ())))
        windows: dict[str, dict[TopicPartition, SampleWindow]] = {}
        for group in look.groups:
            windows[group.group.group] = self._add(group, look)
        for name in self._windows.keys() - windows.keys():
            self.store.delete_group(name)
        self._windows = windows

    def unread(self, look: ClusterLook) -> dict[str, dict[TopicPartition, int]]:
        """The offset of the oldest unread record, by group and partition, where records wait."""
        found: dict[str, dict[TopicPartition, int]] = {}
        for group, windows in self._windows.items():
            for partition, window in windows.items():
                if partition in look.ends and window.newest is not None and window.newest.lag:
                    found.setdefault(group, {})[partition] = window.newest.unread
        return found

    def judge(self, look: ClusterLook, ages: Mapping[Unread, Age]) -> list[GroupReport]:
        """The report of every group of the last look."""
        return [self._judge_group(group, look, ages) for group in look.groups]

    def _add(self, group: GroupLook, look: ClusterLook) -> dict[TopicPartition, SampleWindow]:
        name = group.group.group
        before = self._windows.get(name, {})
        windows: dict[TopicPartition, SampleWindow] = {}
        for partition in group.partitions:
            ends = look.ends.get(partition)
            if ends is None and partition not in look.failed:
                continue
            window = before.get(partition) or SampleWindow(allowed_lag=self._allowed_lag_of(name))
            windows[partition] = window
            if ends is None:
                continue
            last, sample = window.newest, _sample(group, partition, ends, look)
            window.add(sample)
            # A look does not tell a commit of the same offset from none: a member that reads is taken to commit it.
            is_commit = last is None or last.committed != sample.committed or partition in group.owners
            if self.takes_commits and sample.committed is not None and is_commit:
                self.store.add_commit(name, partition, sample.committed, self._looks, look.wall_ms, look.wall_ms)
        self.store.set_owners(
            # Kafka writes a host with the slash of Java's InetAddress, and Burrow passes that on.
            name,
            {partition: (f"/{member.host}", member.client_id) for partition, member in group.owners.items()},
        )
        return windows

    def _judge_group(self, look_of: GroupLook, look: ClusterLook, ages: Mapping[Unread, Age]) -> GroupReport:
        name, windows = look_of.group.group, self._windows[look_of.group.group]
        limits = self._limits_of(name)
        partitions = [
            self._judge_partition(look_of, partition, windows.get(partition), limits, look, ages)
            for partition in sorted(look_of.partitions)
        ]
        by_burrow = self.store.judge(name, look.wall_ms, self._allowed_lag_of(name))
        worst = max(partitions, key=lambda one: (one.status, one.current_lag), default=None)
        oldest = max(partitions, key=lambda one: one.lag_s if one.lag_s is not None else -1.0, default=None)
        status, cause = _group_verdict(look_of, partitions, worst)
        etas = [one.eta_s for one in partitions if one.current_lag]
        return GroupReport(
            group=name,
            kind=look_of.group.kind,
            state=look_of.group.state,
            status=status,
            burrow_status=by_burrow.status if by_burrow is not None else LagStatus.NOTFOUND,
            cause=cause,
            members=None if look_of.members is None else len(look_of.members),
            total_lag=sum(one.current_lag for one in partitions),
            lag_s=oldest.lag_s if oldest else None,
            lag_s_kind=oldest.lag_s_kind if oldest else LagTimeKind.NONE,
            eta_s=None if None in etas else max((one for one in etas if one is not None), default=None),
            trend_per_s=sum(one.trend_per_s for one in partitions),
            written_per_s=sum(one.written_per_s for one in partitions),
            lost=sum(one.lost for one in partitions),
            partitions=partitions,
        )

    def _judge_partition(
        self,
        group: GroupLook,
        partition: TopicPartition,
        window: SampleWindow | None,
        limits: LagLimits,
        look: ClusterLook,
        ages: Mapping[Unread, Age],
    ) -> PartitionReport:
        owner = group.owners.get(partition, NOBODY)
        who = (owner.member_id, owner.client_id, owner.host)
        committed = group.committed.get(partition, -1)
        ends = look.ends.get(partition)
        if window is None or ends is None or window.newest is None:
            cause = look.failed.get(partition) or "the topic or partition does not exist any more"
            known = committed if committed >= 0 else None
            return PartitionReport(partition, LagStatus.NOTFOUND, cause, 0, known, None, None, *_nothing(), *who)
        sample = window.newest
        age = ages.get(Unread(partition, sample.unread), NO_AGE) if sample.lag else NO_AGE
        members = Members(len(group.members) if group.members is not None else 1, _name(owner, group))
        retention_s = look.retention_s.get(partition.topic)
        found = judge_partition(window, members, limits, age.lag_s, retention_s)
        return PartitionReport(
            partition,
            found.status,
            found.cause,
            found.lag,
            sample.committed,
            ends.start,
            sample.end,
            age.lag_s,
            age.kind,
            window.lag_per_s,
            window.written_per_s,
            found.eta_s,
            found.lost,
            *who,
            retention_s,
        )


def _nothing() -> tuple[None, LagTimeKind, float, float, None, int]:
    return None, LagTimeKind.NONE, 0.0, 0.0, None, 0


def _sample(group: GroupLook, partition: TopicPartition, ends: LogEnds, look: ClusterLook) -> Sample:
    """Behind the last stable offset a transaction is open. A group that has read further reads uncommitted records."""
    committed = group.committed.get(partition, -1)
    if look.bare and Unread(partition, committed) in look.bare:
        return Sample(look.at_s, committed, ends.start, committed)
    end = ends.end if committed > ends.stable else ends.stable
    return Sample(look.at_s, committed if committed >= 0 else None, ends.start, end)


def _name(owner: GroupMember, group: GroupLook) -> str:
    """Who reads, for people. Where the cluster does not tell the members, somebody may."""
    if group.members is None:
        return "a member that is not known"
    return f"{owner.client_id}@{owner.host}" if owner.member_id else ""


def _group_verdict(
    group: GroupLook, partitions: list[PartitionReport], worst: PartitionReport | None
) -> tuple[LagStatus, str]:
    """A topic that is gone matters only where the group reads nothing else."""
    if group.refused:
        return LagStatus.NOTFOUND, group.refused
    if not group.group.has_offsets:
        return LagStatus.OK, "a share group has no lag that a client can ask for"
    there = [one.status for one in partitions if one.status is not LagStatus.NOTFOUND]
    if not partitions or worst is None:
        return (LagStatus.OK, "nothing is committed") if group.group.state else (LagStatus.NOTFOUND, "no such group")
    if not there:
        return LagStatus.NOTFOUND, partitions[0].cause
    alike = sum(one.status is worst.status for one in partitions)
    where = str(worst.partition) if alike == 1 else f"{worst.partition} and {alike - 1} more"
    return group_status(there), f"{worst.cause} ({where})" if worst.cause else ""
