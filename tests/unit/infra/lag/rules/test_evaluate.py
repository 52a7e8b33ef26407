"""Our own evaluator: each state, and each weakness of Burrow's rules beside ours."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.topics import group
from infra.lag.monitor import limits_of
from infra.lag.rules import burrow
from infra.lag.rules.commit_ring import CommitRing
from infra.lag.rules.evaluate import LagLimits, LagVerdict, Members, judge_partition
from infra.lag.rules.status import LagStatus
from infra.lag.rules.window import FIRST_SAMPLES, MAX_SAMPLES, Sample, SampleWindow
from infra.settings import LagSettings

READER = Members(1, "worker-1")
NOBODY = Members(0)
LIMITS = LagLimits()


def window_of(*looks: tuple[float, int | None, int, int], allowed_lag: int = 0) -> SampleWindow:
    """Looks of (seconds, committed, start, end)."""
    window = SampleWindow(allowed_lag=allowed_lag)
    for look in looks:
        window.add(Sample(*look))
    return window


def every_10_s(committed: list[int | None], ends: list[int]) -> SampleWindow:
    return window_of(*((10.0 * n, one, 0, end) for n, (one, end) in enumerate(zip(committed, ends, strict=True))))


def judged(window: SampleWindow, members: Members = READER, limits: LagLimits = LIMITS, **more: float) -> LagVerdict:
    return judge_partition(window, members, limits, **more)


STILL = every_10_s([100] * 10, [200] * 10)
GROWING = every_10_s([80 * n for n in range(31)], [100 * n + 100 for n in range(31)])
CATCHING_UP = every_10_s([120 * n for n in range(31)], [100 * n + 4000 for n in range(31)])


@pytest.mark.parametrize(
    ("window", "members", "status", "cause"),
    [
        (window_of(), READER, LagStatus.NOTFOUND, "does not exist any more"),
        (window_of((0, 50, 0, 50)), NOBODY, LagStatus.OK, ""),
        (window_of((0, 50, 80, 200)), READER, LagStatus.ERR, "retention removed 30 records"),
        (window_of((0, 50, 0, 20)), READER, LagStatus.ERR, "30 beyond the end"),
        (window_of((0, None, 7, 7)), NOBODY, LagStatus.OK, "never committed"),
        (window_of((0, None, 0, 9)), READER, LagStatus.OK, "not committed yet"),
        (window_of((0, None, 0, 9), (60, None, 0, 19)), NOBODY, LagStatus.STOP, "no member reads: 19 records"),
        (window_of((0, None, 0, 9), (60, None, 0, 19)), READER, LagStatus.STALL, "worker-1 reads it and never"),
        (STILL, NOBODY, LagStatus.STOP, "no member reads: no commit for 90 s"),
        (STILL, Members(3), LagStatus.STOP, "none of 3 members reads it"),
        (STILL, READER, LagStatus.STALL, "worker-1 reads it and commits nothing new for 90 s"),
        (STILL, Members(1, "a", "the workers are behind"), LagStatus.WARN, "paused for 90 s: the workers are behind"),
        (every_10_s([500, 900, 100, 200], [900, 950, 950, 950]), READER, LagStatus.REWIND, "went back by 700"),
        (every_10_s([500, 100, 500, 600], [900] * 4), READER, LagStatus.OK, ""),
        (GROWING, READER, LagStatus.WARN, "falls behind by 2.0 of 10.0 records/s"),
        (CATCHING_UP, READER, LagStatus.OK, ""),
    ],
)
def test_each_state_has_its_cause(window: SampleWindow, members: Members, status: LagStatus, cause: str) -> None:
    verdict = judged(window, members)
    assert (verdict.status, cause in verdict.cause) == (status, True), verdict


def test_a_group_that_catches_up_says_when() -> None:
    verdict = judged(CATCHING_UP)
    assert verdict.lag == 3400
    assert verdict.trend_per_s == pytest.approx(-2)
    assert verdict.eta_s == pytest.approx(1700)
    assert judged(GROWING).eta_s is None


@pytest.mark.parametrize(
    ("limits", "lag_s", "status"),
    [
        (LagLimits(warn_lag=3401), None, LagStatus.OK),
        (LagLimits(warn_lag=3400), None, LagStatus.WARN),
        (LagLimits(warn_lag=100, error_lag=3400), None, LagStatus.ERR),
        (LagLimits(warn_lag_s=30), 29.0, LagStatus.OK),
        (LagLimits(warn_lag_s=30), 30.0, LagStatus.WARN),
        (LagLimits(warn_lag_s=30, error_lag_s=120), 120.0, LagStatus.ERR),
    ],
)
def test_limits_of_a_group_hold_beside_the_trend(limits: LagLimits, lag_s: float | None, status: LagStatus) -> None:
    assert judge_partition(CATCHING_UP, READER, limits, lag_s).status is status


@pytest.mark.parametrize(
    ("window", "members", "limit_s", "status", "cause"),
    [
        (CATCHING_UP, READER, 1701, LagStatus.OK, ""),
        (CATCHING_UP, READER, 1699, LagStatus.WARN, "has caught up in 1700 s only"),
        (GROWING, READER, 86_400, LagStatus.WARN, "does not get on"),
        (every_10_s([5, 9], [900, 900]), READER, 1, LagStatus.OK, ""),
        (window_of((0, 5, 0, 9)), NOBODY, 86_400, LagStatus.OK, ""),
        (STILL, NOBODY, 86_400, LagStatus.STOP, "no member reads"),
        (STILL, READER, 86_400, LagStatus.STALL, "commits nothing new"),
    ],
)
def test_a_replay_is_judged_by_the_time_that_it_needs(
    window: SampleWindow, members: Members, limit_s: float, status: LagStatus, cause: str
) -> None:
    """Its records are a day old, and were so when they came."""
    verdict = judged(window, members, LagLimits(warn_eta_s=limit_s), lag_s=86_400.0)
    assert (verdict.status, cause in verdict.cause) == (status, True), verdict


def test_a_replay_has_limits_of_its_own_without_a_setting() -> None:
    settings = LagSettings()
    for prefix in ("", "site1-"):
        live, replay = (limits_of(group("stream", prefix, lane), settings) for lane in ("live", "replay"))
        assert (live.warn_lag_s, live.error_lag_s, live.warn_eta_s) == (30, 120, None)
        assert (replay.warn_lag_s, replay.error_lag_s, replay.warn_eta_s) == (None, None, 86_400)


def test_retention_that_is_about_to_remove_unread_records_is_a_warning() -> None:
    day_s = 86_400.0
    assert judged(CATCHING_UP, lag_s=0.79 * day_s, retention_s=day_s).status is LagStatus.OK
    verdict = judged(CATCHING_UP, lag_s=0.9 * day_s, retention_s=day_s)
    assert (verdict.status, "removes the oldest of 3400 unread records in 8640 s" in verdict.cause) == (
        LagStatus.WARN,
        True,
    )
    # On a young log nothing is removed, though all of it is unread.
    assert judged(window_of((0, 0, 0, 500), (10, 10, 0, 500)), lag_s=20.0, retention_s=day_s).status is LagStatus.OK


def burrow_of(commits: list[tuple[int, int, float, int]], end: int, ends: list[int], now_s: float) -> LagStatus:
    """Burrow's status after commits of (offset, end as Burrow knew it, seconds, order)."""
    ring = CommitRing()
    for offset, known_end, at_s, order in commits:
        ring.add(offset, order, int(at_s * 1000), known_end)
    lag = max(0, end - commits[-1][0])
    return burrow.partition_status(ring.commits, ends, lag, int(now_s))


def test_one_dip_of_the_lag_does_not_hide_that_the_group_falls_behind() -> None:
    """200,000 waiting records were OK for Burrow: it saw one commit with a smaller lag (issue 738)."""
    commits = [(9000 * n, 10_000 * n + (5000 if n % 2 else 0), 10.0 * n, n) for n in range(1, 201)]
    end = 2_000_000
    assert burrow_of(commits, end, [end], 2001) is LagStatus.OK
    window = every_10_s([9000 * n for n in range(1, 201)], [10_000 * n + (500 if n % 2 else 0) for n in range(1, 201)])
    assert window.newest is not None
    assert window.newest.lag == 200_000
    assert judged(window).status is LagStatus.WARN


def test_a_quiet_topic_is_called_stopped_after_a_minute_and_not_after_hours() -> None:
    """Ten commits, one an hour: Burrow waits nine hours more (issue 745)."""
    hour_s = 3600.0
    commits = [(n, n, hour_s * n, n) for n in range(1, 11)]
    now_s = 10 * hour_s + 7200
    assert burrow_of(commits, 500, [500], now_s) is LagStatus.OK
    window = window_of((now_s - 120, 10, 0, 480), (now_s - 60, 10, 0, 490), (now_s, 10, 0, 500))
    assert judged(window, NOBODY).status is LagStatus.STOP


def test_a_busy_topic_is_not_called_stopped_between_two_commits() -> None:
    """Ten commits within a second, then a batch that takes two seconds (issue 303)."""
    commits = [(100 * n, 100 * n + 50, 100 + n / 10, n) for n in range(1, 11)]
    assert burrow_of(commits, 1100, [1050], 104) is LagStatus.STOP
    assert judged(window_of((98, 0, 0, 50), (101, 1000, 0, 1050), (104, 1000, 0, 1100))).status is LagStatus.OK


def test_a_second_rewind_counts_as_much_as_the_first() -> None:
    offsets = [500, 300, 500, 100]
    assert burrow_of([(one, 900, 10.0 * n, n) for n, one in enumerate(offsets, 1)], 900, [900], 45) is LagStatus.OK
    assert judged(every_10_s(list(offsets), [900] * 4)).status is LagStatus.REWIND


def test_a_group_that_never_committed_is_seen() -> None:
    """For Burrow it does not exist."""
    assert judged(window_of((0, None, 0, 9), (60, None, 0, 19)), NOBODY).status is LagStatus.STOP


def test_a_topic_that_was_deleted_is_not_ok() -> None:
    """For Burrow its group is OK, with no partition."""
    assert burrow.judge_group({}, 100).status is LagStatus.OK
    assert judged(window_of()).status is LagStatus.NOTFOUND


def test_ends_are_those_of_the_same_look() -> None:
    """Burrow asks for ends every 30 s and takes a commit beyond the last one for no lag (issues 155, 453)."""
    commits = [(9000 * n, 9000 * n - (1 if n % 2 else -50_000), 10.0 * n, n) for n in range(1, 31)]
    assert burrow_of(commits, 10_000 * 30, [10_000 * 30], 301) is LagStatus.OK
    assert judged(every_10_s([9000 * n for n in range(31)], [10_000 * n for n in range(31)])).status is LagStatus.WARN


def test_a_group_that_all_members_have_left_is_stopped_at_once() -> None:
    """Burrow knows no members: it waits as long again as its last ten commits took."""
    commits = [(100 * n, 100 * n + 50 - n, 100.0 * n, n) for n in range(1, 11)]
    assert burrow_of(commits, 1300, [1300], 1090) is LagStatus.OK
    window = window_of((1000, 1000, 0, 1050), (1090, 1000, 0, 1300))
    assert judged(window, NOBODY).status is LagStatus.STOP


def test_records_that_retention_removed_or_is_about_to_remove_are_told() -> None:
    """Burrow knows neither the beginning of a log nor its retention."""
    commits = [(100 * n, 100 * n + 900 - 10 * n, 10.0 * n, n) for n in range(1, 11)]
    assert burrow_of(commits, 1800, [1800], 101) is LagStatus.OK
    assert (
        judged(
            every_10_s([100 * n for n in range(11)], [100 * n + 900 for n in range(11)]), lag_s=85, retention_s=100
        ).status
        is LagStatus.WARN
    )
    eaten = window_of(*((10.0 * n, 100 * n, 1200, 1800) for n in range(11)))
    assert (judged(eaten).status, judged(eaten).lost) == (LagStatus.ERR, 200)


def test_a_group_with_a_lag_that_may_be_is_no_warning() -> None:
    """Burrow knows no limit of a group's own: a lag of 200 is a warning where 5,000 is the custom (issue 425)."""
    small = every_10_s([20 * n for n in range(31)], [20 * n + 170 + n for n in range(31)])
    commits = [(20 * n, 20 * n + 170 + n, 10.0 * n, n) for n in range(1, 31)]
    assert burrow_of(commits, 800, [800], 301) is LagStatus.WARN
    allowed = SampleWindow(allowed_lag=5000)
    for n in range(31):
        allowed.add(Sample(10.0 * n, 20 * n, 0, 20 * n + 170 + n))
    assert judged(allowed).status is LagStatus.OK
    assert judged(small).lag == 200


looks = st.lists(
    st.tuples(st.integers(0, 50), st.none() | st.integers(0, 90), st.integers(0, 20)), min_size=1, max_size=200
)


@given(looks)
def test_the_window_is_bounded_and_its_numbers_are_those_of_its_samples(
    steps: list[tuple[int, int | None, int]],
) -> None:
    window, at_s, end = SampleWindow(window_s=300), 1_790_000_000.0, 10**12
    kept: list[Sample] = []
    for wait_s, behind, more in steps:
        at_s, end = at_s + wait_s, end + more
        sample = Sample(at_s, None if behind is None else end - behind, 0, end)
        if not kept or at_s > kept[-1].at_s:
            kept.append(sample)
        window.add(sample)
    newest = kept[-1]
    assert window.newest == newest
    assert window.span_s <= 300 or len(window._samples) == 1
    assert len(window._samples) <= MAX_SAMPLES + FIRST_SAMPLES + 1
    since = [one.at_s for one in kept if one.lag <= 0]
    assert window.since_low_s == (newest.at_s - since[-1] if since else float("inf"))
    verdict = judged(window)
    assert verdict.lag == newest.lag >= 0


def test_the_slope_is_right_after_many_samples_have_gone() -> None:
    draws = random.Random(3)
    window = SampleWindow(window_s=300)
    for n in range(5000):
        window.add(Sample(1_790_000_000.0 + 10 * n, 10**12 + 70 * n, 0, 10**12 + 100 * n + draws.randrange(50)))
    assert window.lag_per_s == pytest.approx(3.0, abs=0.1)
    assert window.written_per_s == pytest.approx(10.0, abs=0.1)
