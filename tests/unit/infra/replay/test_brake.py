"""The brake of a replay: when it slows down, waits and goes on, and which groups it gives way to."""

from collections.abc import Sequence

import pytest

from infra.lag.rules.status import LagStatus
from infra.replay.brake import CALM_S, GO_ON_S, MIN_FACTOR, SLOW_S, WAIT_S, Brake, Braking, LiveState, live_state
from tests.support.lag_reports import group_report

STREAM, INFER = "sightline-stream", "sightline-infer"


def behind(lag_s: float | None) -> LiveState:
    return LiveState(lag_s, STREAM)


def factors(lags_s: Sequence[float | None], every_s: float = 2.0) -> list[float]:
    brake = Brake()
    return [brake.update(behind(lag_s), number * every_s).factor for number, lag_s in enumerate(lags_s)]


def test_a_live_lane_that_keeps_up_leaves_the_full_rate() -> None:
    assert Brake().update(behind(1.5), 0.0) == Braking(1.0, "")


def test_each_look_at_a_live_lane_that_is_behind_halves_the_rate_down_to_the_slowest() -> None:
    assert factors([SLOW_S] * 6) == [1 / 2, 1 / 4, 1 / 8, MIN_FACTOR, MIN_FACTOR, MIN_FACTOR]


def test_far_behind_it_waits_and_goes_on_slowly_once_the_lane_has_kept_up_for_a_while() -> None:
    waits = factors([WAIT_S, SLOW_S, GO_ON_S, 1.0, 1.0])
    assert waits == [0.0] * 5
    after = factors([WAIT_S] + [0.0] * 14, every_s=CALM_S / 2)
    assert after == sorted(after)
    assert after[3] == MIN_FACTOR
    assert after[-1] == 1.0


def test_between_the_limits_nothing_changes() -> None:
    assert factors([SLOW_S, (SLOW_S + GO_ON_S) / 2, (SLOW_S + GO_ON_S) / 2]) == [0.5] * 3
    assert factors([(SLOW_S + GO_ON_S) / 2] * 5) == [1.0] * 5


def test_a_lag_that_is_not_known_holds_nothing_up() -> None:
    assert factors([WAIT_S, None, 1.0]) == [0.0, 1.0, 1.0]


def test_the_reason_is_a_sentence_that_names_the_group_and_its_lag() -> None:
    brake = Brake()
    slow = brake.update(LiveState(6.2, INFER), 0.0)
    assert slow.reason == "the replay runs at 50% of its rate: the live lane's sightline-infer is 6 s behind"
    waits = brake.update(LiveState(61.0, STREAM), 2.0)
    assert waits.reason == "the replay waits: the live lane's sightline-stream is 61 s behind"


def test_the_worst_live_group_counts() -> None:
    reports = [group_report(group=STREAM, lag_s=2.0), group_report(group=INFER, lag_s=9.0, written_per_s=1.0)]
    assert live_state(reports) == LiveState(9.0, INFER)


def test_without_records_that_wait_nothing_is_behind() -> None:
    assert live_state([group_report(group=STREAM, partitions=[], lag_s=None)]) == LiveState(0.0, STREAM)


def test_a_camera_whose_clock_is_hours_behind_does_not_look_like_a_lag() -> None:
    report = group_report(group=STREAM, lag_s=7200.0, written_per_s=20.0)  # 20 records wait
    assert live_state([report]) == LiveState(1.0, STREAM)
    assert live_state([group_report(group=STREAM, lag_s=7200.0, written_per_s=0.0)]) == LiveState(7200.0, STREAM)


@pytest.mark.parametrize(
    "report",
    [
        group_report(LagStatus.NOTFOUND, group=STREAM, cause="no such group", members=None),
        group_report(group=STREAM, cause="has no members", members=0, lag_s=500.0),
    ],
)
def test_a_group_that_is_not_there_or_has_no_members_is_not_waited_for(report: object) -> None:
    state = live_state([report])  # type: ignore[list-item]
    assert state.lag_s is None
    assert "no live stage is seen (sightline-stream " in state.why


def test_members_that_the_cluster_does_not_tell_may_be_there() -> None:
    assert live_state([group_report(group=STREAM, members=None, lag_s=0.5)]) == LiveState(0.2, STREAM)
