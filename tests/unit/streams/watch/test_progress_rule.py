"""The rule of the watchdog, one row per history: what was seen when, and whether the process must end at the end."""

from collections.abc import Callable
from functools import partial

import pytest

from streams.watch.progress_rule import ProgressRule, WatchdogInput

T = 60_000  # the stall time-out
STEP_MS = 1_000
idle = WatchdogInput(taken=0, uncommitted=0, lag=0, commits=0, steps=0, may_wait=False)


def sight(
    commits: int, taken: int = 0, lag: int = 0, may_wait: bool = False, steps: int = 0, uncommitted: int = 0
) -> WatchdogInput:
    return WatchdogInput(taken, uncommitted, lag, commits, steps, may_wait)


@pytest.mark.parametrize(
    ("history", "stalled"),
    [
        pytest.param([(0, idle), (T * 10, idle)], False, id="nothing waits, nothing need move"),
        pytest.param([(0, sight(5, lag=9)), (T, sight(5, lag=9))], True, id="frames wait in the topic (faust#175)"),
        pytest.param([(0, sight(5, taken=3)), (T, sight(5, taken=3))], True, id="frames taken and none committed"),
        pytest.param([(0, sight(5, lag=9)), (T - 1000, sight(5, lag=9))], False, id="not yet"),
        pytest.param(
            [(0, sight(5, lag=9)), (T - 1000, sight(6, lag=9)), (T + 5000, sight(6, lag=9))],
            False,
            id="slow, but it moves",
        ),
        pytest.param(
            [(0, sight(5, lag=9, may_wait=True)), (T * 5, sight(5, lag=9, may_wait=True))],
            False,
            id="paused because the workers are behind",
        ),
        pytest.param(
            [(0, sight(5, lag=9, may_wait=True)), (T * 5, sight(5, lag=9)), (T * 6, sight(5, lag=9))],
            True,
            id="no longer paused, and it still does not move",
        ),
        pytest.param(
            [(0, idle), (T * 5, sight(0, lag=1)), (T * 6 - 2000, sight(0, lag=1))],
            False,
            id="the first frame after a long silence has its full time",
        ),
        pytest.param(
            [(0, sight(5, lag=9)), (T - 1000, sight(3, lag=9)), (T, sight(3, lag=9))],
            False,
            id="a rebalance may lower the count: that is movement",
        ),
    ],
)
def test_rule(history: list[tuple[int, WatchdogInput]], stalled: bool) -> None:
    assert (sentence_of(history) is not None) == stalled


def seconds_to_live(seen: Callable[[int], WatchdogInput]) -> float | None:
    """After how many seconds of such a sight the process must end; None: not within ten stall time-outs."""
    rule = ProgressRule(T)
    return next((now / 1000 for now in range(0, 10 * T, STEP_MS) if rule.stalled(seen(now), now)), None)


def test_pictures_that_keep_the_decoders_busy_are_given_more_time() -> None:
    assert seconds_to_live(lambda now: sight(5, taken=32, steps=now // 10_000)) == 5 * T / 1000
    assert seconds_to_live(lambda now: sight(now // (4 * T), taken=32, steps=now // 10_000)) is None


def test_frames_that_are_finished_and_never_committed_are_no_progress() -> None:
    """The stage is cut off from its group's coordinator: another member finishes the same frames and commits them."""
    assert seconds_to_live(lambda now: sight(5, taken=now % 7 + 1)) == T / 1000


def test_finished_frames_have_no_more_time_because_others_are_worked_on() -> None:
    """Cut off from the coordinator and still fed, the decoders are busy; slow pictures hold no commit up."""
    busy = partial(sight, taken=90, uncommitted=30)
    assert seconds_to_live(lambda now: busy(5, steps=now // STEP_MS)) == T / 1000
    assert seconds_to_live(lambda now: busy(now // (T // 2), steps=now // STEP_MS)) is None


def test_the_sentence_says_how_long_and_how_many() -> None:
    sentence = sentence_of([(0, sight(1, taken=2, lag=3)), (T, sight(1, taken=2, lag=3))])
    assert sentence is not None
    assert "60 s" in sentence and "2 frames" in sentence and "3 wait" in sentence


def test_a_process_that_was_stopped_for_an_hour_is_not_stalled_when_it_goes_on() -> None:
    rule = ProgressRule(T)
    assert rule.stalled(sight(1, lag=3), 0) is None
    assert rule.stalled(sight(1, lag=3), 3_600_000) is None


def sentence_of(history: list[tuple[int, WatchdogInput]]) -> str | None:
    """Looks once a second, as the monitor does, at the newest sight of the history; the first sentence said."""
    rule = ProgressRule(T)
    for now_ms in range(0, history[-1][0] + 1, STEP_MS):
        seen = [one for since_ms, one in history if since_ms <= now_ms][-1]
        sentence = rule.stalled(seen, now_ms)
        if sentence is not None:
            return sentence
    return None
