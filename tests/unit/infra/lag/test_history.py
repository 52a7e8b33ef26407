"""Looks become reports: who reads, what is gone, what the group's state is, and Burrow's word beside ours."""

from collections.abc import Sequence

import pytest

from infra.kafka.listed import ClusterTopics, GroupMember, ListedGroup, LogEnds, PartitionPlace
from infra.lag.history import LagHistory
from infra.lag.look import ClusterLook, GroupLook
from infra.lag.reports import GroupReport
from infra.lag.rules.evaluate import LagLimits
from infra.lag.rules.lag_time import Age, LagTimeKind, Unread
from infra.lag.rules.status import LagStatus
from schemas.coordinates import TopicPartition

FIRST, SECOND = TopicPartition("frames.raw", 0), TopicPartition("frames.raw", 1)
READER = GroupMember("m-1", "stream", "10.0.0.7", frozenset({FIRST, SECOND}))


def look(
    at_s: float,
    committed: dict[TopicPartition, int],
    ends: dict[TopicPartition, int],
    members: Sequence[GroupMember] | None = (READER,),
    stable: dict[TopicPartition, int] | None = None,
    kind: str = "classic",
    failed: dict[TopicPartition, str] | None = None,
    refused: str = "",
) -> ClusterLook:
    state = "Stable" if members else "Empty"
    group = GroupLook(ListedGroup("g", state, kind), None if members is None else list(members), committed, refused)
    found = {one: LogEnds(0, (stable or {}).get(one, end), end) for one, end in ends.items()}
    topics = ClusterTopics({FIRST.topic: dict.fromkeys((0, 1), PartitionPlace(1, (1,), (1,)))})
    return ClusterLook(at_s, int(1_790_000_000_000 + at_s * 1000), [group], found, set(), failed or {}, topics)


def report_of(*looks: ClusterLook, ages: dict[Unread, Age] | None = None, **limits: int) -> GroupReport:
    history = LagHistory(lambda _group: LagLimits(**limits))
    for one in looks:
        history.add(one)
    [report] = history.judge(looks[-1], ages or {})
    return report


def test_a_healthy_group_is_ok_and_has_its_members_counted() -> None:
    report = report_of(*(look(10.0 * n, {FIRST: 10 * n, SECOND: 5}, {FIRST: 10 * n, SECOND: 5}) for n in range(9)))
    assert (report.status, report.burrow_status, report.members, report.total_lag) == (LagStatus.OK, LagStatus.OK, 1, 0)
    assert report.cause == ""
    assert [one.host for one in report.partitions] == ["10.0.0.7", "10.0.0.7"]


def test_the_cause_is_that_of_the_worst_partition_and_counts_the_others() -> None:
    looks = [look(10.0 * n, {FIRST: 5, SECOND: 5}, {FIRST: 9, SECOND: 50}, members=()) for n in range(9)]
    report = report_of(*looks)
    assert report.status is LagStatus.ERR
    assert report.cause == "no member reads: no commit for 80 s (frames.raw/1 and 1 more)"
    assert report.total_lag == 49


def test_the_age_is_that_of_the_oldest_unread_record_and_limits_hold() -> None:
    ages = {
        Unread(FIRST, 5): Age(12.0, LagTimeKind.EXACT),
        Unread(SECOND, 5): Age(95.0, LagTimeKind.BOUND),
    }
    now = look(0, {FIRST: 5, SECOND: 5}, {FIRST: 9, SECOND: 50})
    report = report_of(now, ages=ages, warn_lag_s=90)
    assert (report.lag_s, report.lag_s_kind, report.status) == (95.0, LagTimeKind.BOUND, LagStatus.WARN)
    assert report_of(now, ages=ages, warn_lag_s=90, error_lag_s=95).status is LagStatus.ERR


def test_records_of_an_open_transaction_do_not_wait_for_a_reader_of_committed_ones() -> None:
    report = report_of(look(0, {FIRST: 10}, {FIRST: 25}, stable={FIRST: 10}))
    assert (report.total_lag, report.status) == (0, LagStatus.OK)
    # A group that has read beyond it reads uncommitted records: for it the log ends at its end.
    report = report_of(look(0, {FIRST: 12}, {FIRST: 25}, stable={FIRST: 10}))
    assert (report.total_lag, report.partitions[0].end) == (13, 25)


def test_a_topic_that_is_gone_matters_only_where_nothing_else_is_read() -> None:
    gone = TopicPartition("old", 0)
    report = report_of(look(0, {FIRST: 5, gone: 7}, {FIRST: 5}, members=()))
    assert report.status is LagStatus.OK
    assert [one.status for one in report.partitions] == [LagStatus.OK, LagStatus.NOTFOUND]
    report = report_of(look(0, {gone: 7}, {}, members=()))
    assert (report.status, report.cause) == (LagStatus.NOTFOUND, "the topic or partition does not exist any more")


def test_what_the_cluster_does_not_tell_is_said() -> None:
    report = report_of(look(0, {}, {}, refused="the right Describe on group g is missing"))
    assert (report.status, report.cause) == (LagStatus.NOTFOUND, "the right Describe on group g is missing")
    report = report_of(look(0, {FIRST: 5}, {}, failed={FIRST: "the right Describe on topic frames.raw is missing"}))
    assert report.partitions[0].cause == "the right Describe on topic frames.raw is missing"
    unknown = report_of(*(look(10.0 * n, {FIRST: 5}, {FIRST: 9}, members=None) for n in range(9)))
    assert (unknown.members, unknown.status) == (None, LagStatus.ERR)
    assert "a member that is not known reads it" in unknown.cause


def test_a_share_group_is_listed_and_not_judged() -> None:
    report = report_of(look(0, {}, {}, kind="share"))
    assert (report.status, report.burrow_status) == (LagStatus.OK, LagStatus.NOTFOUND)
    assert "share group" in report.cause


@pytest.mark.parametrize(("members", "expected"), [((READER,), LagStatus.ERR), ((), LagStatus.ERR)])
def test_burrows_word_stands_beside_ours(members: Sequence[GroupMember], expected: LagStatus) -> None:
    looks = [look(10.0 * n, {FIRST: 5}, {FIRST: 9}, members=members) for n in range(9)]
    assert report_of(*looks).burrow_status is expected


def test_what_a_look_does_not_have_any_more_is_forgotten() -> None:
    history = LagHistory()
    history.add(look(0, {FIRST: 5}, {FIRST: 9}))
    empty = ClusterLook(10.0, 0, [], {})
    history.add(empty)
    assert history.judge(empty, {}) == []
    assert history.unread(empty) == {}
    assert (history._windows, history.store.topics(), history.store.groups()) == ({}, [], [])
