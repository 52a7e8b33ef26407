"""Burrow's rules against Burrow's own cases, and the commits that it keeps."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra.lag.rules import burrow
from infra.lag.rules.burrow import Commit, PartitionView
from infra.lag.rules.commit_ring import CommitRing
from infra.lag.rules.status import LagStatus
from schemas.coordinates import TopicPartition
from tests.support.paths import SHARED

CASES = SHARED / "data" / "lag" / "burrow_cases.json"
ONE = TopicPartition("frames.raw", 0)


def commits(*points: tuple[int, int | None, int]) -> list[Commit]:
    """Commits of (offset, lag, seconds)."""
    return [Commit(offset, order, at_s * 1000, lag) for order, (offset, lag, at_s) in enumerate(points, 1)]


def cases() -> list[Mapping[str, Any]]:
    return json.loads(CASES.read_text())["cases"] if CASES.exists() else []


@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case["id"]))
def test_each_case_of_burrow_gives_burrows_status_by_burrows_rules(case: Mapping[str, Any]) -> None:
    kept = [Commit(one["offset"], one["order"], one["timestamp_ms"], one["lag"]) for one in case["offsets"]]
    rules = {
        "is_lag_always_not_zero": burrow.is_lag_always_not_zero(kept, case["allowed_lag"]),
        "offsets_rewind_index": burrow.offsets_rewind_index(kept),
        "offsets_stopped": burrow.offsets_stopped(kept, case["time_now_s"]),
        "offsets_stalled": burrow.offsets_stalled(kept),
        "lag_not_decreasing": burrow.lag_not_decreasing(kept),
        "recent_lag_zero": burrow.recent_lag_zero(kept, case["broker_offsets"]),
    }
    assert rules == case["expect_rules"]
    status = burrow.partition_status(
        kept, case["broker_offsets"], case["current_lag"], case["time_now_s"], case["allowed_lag"]
    )
    assert str(status) == case["expect_status"]


STEADY = commits((1000, 10, 100), (2000, 20, 200), (3000, 30, 300))


@pytest.mark.parametrize(
    ("kept", "ends", "lag", "now_s", "allowed", "expected"),
    [
        (STEADY, [3000], 0, 9999, 0, LagStatus.OK),
        (STEADY, [3030], 30, 500, 0, LagStatus.WARN),  # the silence is as long as the window, and not longer
        (STEADY, [3030], 30, 501, 0, LagStatus.STOP),
        (STEADY, [3030, 3000], 30, 501, 0, LagStatus.WARN),  # up to date lately: not stopped
        (STEADY, [3030], 30, 400, 30, LagStatus.OK),
        (commits((1000, 10, 100), (2000, 20, 200), (3000, 5, 300)), [3030], 30, 400, 0, LagStatus.OK),
        (commits((1000, 10, 100), (1000, 20, 200)), [1030], 30, 250, 0, LagStatus.STALL),
        (commits((1000, 10, 100)), [1030], 30, 100, 0, LagStatus.STALL),  # one commit alone is a stall
        (commits((5, 0, 100), (3, 2, 200), (4, 1, 300)), [9], 5, 350, 0, LagStatus.REWIND),
        (commits((5, 0, 100), (3, 2, 200), (5, 1, 300)), [9], 4, 350, 0, LagStatus.OK),
        # The first rewind is made good and the second one is not looked for: one of Burrow's weaknesses.
        (commits((5, 4, 100), (3, 6, 200), (5, 4, 300), (1, 8, 400)), [9], 8, 450, 0, LagStatus.OK),
        (commits((5, None, 100), (6, 4, 200), (7, None, 300), (8, 4, 400)), [12], 4, 450, 0, LagStatus.WARN),
    ],
)
def test_the_first_rule_that_holds_decides(
    kept: list[Commit], ends: list[int], lag: int, now_s: int, allowed: int, expected: LagStatus
) -> None:
    assert burrow.partition_status(kept, ends, lag, now_s, allowed) is expected


def test_a_group_is_as_bad_as_its_worst_partition_and_never_worse_than_err() -> None:
    """Ten commits up to 1900 with the end at 4321, and of another partition the first five of them alone."""
    now_s = 1_000_000
    all_ten = [Commit(1000 + 100 * n, n, (now_s - 100 + 10 * n) * 1000, 50) for n in range(10)]
    views = {
        ONE: PartitionView([*all_ten[:-1], Commit(1900, 9, (now_s - 10) * 1000, 0)], [4321], 2421),
        TopicPartition("frames.raw", 1): PartitionView(all_ten[:5], [4321], 2921),
    }
    whole = burrow.judge_group({ONE: views[ONE]}, now_s)
    assert (whole.status, whole.total_lag, whole.complete) == (LagStatus.OK, 2421, 1.0)
    both = burrow.judge_group(views, now_s)
    assert (both.status, both.complete, both.total_lag) == (LagStatus.ERR, 0.5, 5342)
    assert both.max_lag is not None
    assert (both.max_lag.status, both.max_lag.complete) == (LagStatus.STOP, 0.5)


def test_a_partition_without_enough_commits_and_a_group_without_partitions_are_ok() -> None:
    few = PartitionView(STEADY, [9999], 6999)
    assert burrow.judge_partition(ONE, few, 9999, minimum_complete=0.5).status is LagStatus.OK
    assert burrow.judge_partition(ONE, few, 9999, minimum_complete=0.3).status is LagStatus.STOP
    assert burrow.judge_partition(ONE, PartitionView([], [], 0), 9999).complete == 0.0
    empty = burrow.judge_group({}, 1)
    assert (empty.status, empty.complete, empty.max_lag) == (LagStatus.OK, 0.0, None)


def ring_of(ring: CommitRing) -> list[tuple[int, int, int | None]]:
    return [(one.order, one.timestamp_ms, one.lag) for one in ring.commits]


def test_the_ring_keeps_the_newest_commits_and_puts_a_late_one_in_its_place() -> None:
    ring = CommitRing(intervals=3)
    for order, offset in ((1, 10), (3, 30), (5, 50)):
        ring.add(offset, order, order * 1000, end=40)
    assert ring_of(ring) == [(1, 1000, 30), (3, 3000, 10), (5, 5000, 0)]
    ring.add(40, 4, 4000, end=60)  # late: no lag, and the oldest goes
    assert ring_of(ring) == [(3, 3000, 10), (4, 4000, None), (5, 5000, 0)]
    ring.add(40, 4, 4000, end=60)  # known already
    ring.add(20, 2, 2000, end=60)  # older than a full ring
    assert ring_of(ring) == [(3, 3000, 10), (4, 4000, None), (5, 5000, 0)]


def test_a_late_commit_before_all_others_fills_a_free_place() -> None:
    ring = CommitRing(intervals=3)
    ring.add(50, 5, 5000, end=50)
    ring.add(10, 1, 1000, end=50)
    assert ring_of(ring) == [(1, 1000, None), (5, 5000, 0)]


def test_commits_within_the_minimum_distance_share_a_place_and_its_time() -> None:
    ring = CommitRing(intervals=3, min_distance_s=1)
    for order in range(1, 6):
        ring.add(order, order, 1000 + order * 400, end=10)
    assert ring_of(ring) == [(3, 1400, 7), (5, 2600, 5)]
