"""Looks at the consumer groups of a cluster: who reads, what is committed, and where the logs end."""

import time
from collections.abc import Iterable, Sequence

from infra.kafka.group_listing import GroupListing
from infra.kafka.listed import ClusterTopics, ListedGroup, LogEnds
from infra.kafka.log_ends import LogLookup
from infra.kafka.retention import TopicRetention
from infra.lag.look import ClusterLook, GroupLook
from infra.settings import Settings
from schemas.coordinates import TopicPartition


class Cluster:
    """Looks at the groups whose names match `include` and not `exclude`; used by one thread.

    `expected`: groups that are reported even if the cluster does not know them, with the topics that they read.
    `all_topics`: look at the ends of topics too that no group reads.
    """

    def __init__(
        self,
        settings: Settings,
        include: Sequence[str] = ("*",),
        exclude: Sequence[str] = (),
        expected: dict[str, str] | None = None,
        *,
        all_topics: bool = False,
    ) -> None:
        self._all_topics = all_topics
        self._include, self._exclude = include, exclude
        self._expected = expected or {}
        self._listing = GroupListing(settings)
        self._retention = TopicRetention(settings)
        self.logs = LogLookup(settings)

    def close(self) -> None:
        self._listing.close()

    def look(self) -> ClusterLook:
        """Asks in the order that makes no lag negative: members, commits, then the ends of the logs.

        Raises Unavailable or KafkaFailure when the cluster does not answer.
        """
        listed = self._listing.groups(self._include, self._exclude)
        known = {one.group for one in listed}
        listed += [ListedGroup(group, "", "") for group in self._expected if group not in known]
        members, hidden = self._listing.members(one.group for one in listed if one.may_have_members and one.state)
        offsets = self._listing.offsets([one.group for one in listed if one.has_offsets and one.state])
        topics = self.logs.topics()
        groups = [
            GroupLook(
                one,
                None if one.group in hidden else members.get(one.group, []),
                {**self._nothing_yet(one.group, topics), **offsets.committed.get(one.group, {})},
                offsets.refused.get(one.group) or hidden.get(one.group, ""),
            )
            for one in listed
        ]
        ends, gone, failed = self._ends(groups, topics)
        at_s, wall_ms = time.monotonic(), time.time_ns() // 1_000_000
        read = {partition.topic for group in groups for partition in group.partitions & ends.keys()}
        retention_s = self._retention.look(read, at_s)
        return ClusterLook(at_s, wall_ms, groups, ends, gone, failed, topics, retention_s)

    def _nothing_yet(self, group: str, topics: ClusterTopics) -> dict[TopicPartition, int]:
        """The partitions that an expected group reads, with -1 for none that it has committed."""
        topic = self._expected.get(group)
        return {TopicPartition(topic, one): -1 for one in topics.topics.get(topic, {})} if topic else {}

    def _ends(
        self, groups: Iterable[GroupLook], topics: ClusterTopics
    ) -> tuple[dict[TopicPartition, LogEnds], set[TopicPartition], dict[TopicPartition, str]]:
        wanted = {one for group in groups for one in group.partitions}
        there = {one for one in wanted if topics.has(one)}
        if self._all_topics:
            there |= {TopicPartition(name, one) for name, places in topics.topics.items() for one in places}
        hidden = self._listing.hidden_topics({one.topic for one in wanted - there})
        failed = {
            one: f"the right Describe on topic {one.topic} is missing" for one in wanted - there if one.topic in hidden
        }
        ends, answers = self.logs.ends(there)
        return ends, {*(wanted - there - failed.keys()), *answers.gone}, {**failed, **answers.failed}
