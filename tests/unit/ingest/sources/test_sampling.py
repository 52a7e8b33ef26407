"""Sampling and back-off: time is an argument, so these are tables and properties."""

import random
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.camera.backoff import MIN_DELAY_S, Backoff
from ingest.sources.sampling import Sampler, failing_after_s, sane_rate, stall_limit_s

RATES = st.floats(min_value=0.1, max_value=120, allow_nan=False)


def taken(fps: float, times_s: list[float]) -> list[float]:
    sampler = Sampler(fps)
    return [time_s for time_s in times_s if sampler.take(time_s)]


def steady(source_per_s: float, seconds: float, start_s: float = 1000.0) -> list[float]:
    return [start_s + number / source_per_s for number in range(int(seconds * source_per_s))]


def test_every_sixth_frame_of_thirty_at_five() -> None:
    times_s = steady(30, 10)
    chosen = taken(5, times_s)
    assert len(chosen) == 50
    gaps = {round((b - a) * 30) for a, b in pairwise(chosen)}
    assert gaps == {6}


def test_thirty_announced_and_29_9_real_drops_nothing() -> None:
    rng = random.Random(1)
    times_s = sorted(time_s + rng.uniform(-0.008, 0.008) for time_s in steady(29.9, 60))
    assert taken(30, times_s) == times_s


def test_a_gap_is_not_made_up_for_by_a_burst() -> None:
    before, after = steady(30, 5), steady(30, 5, start_s=1065.0)
    assert len(taken(5, before + after)) <= 25 + 26


def test_a_clock_that_jumps_back_starts_a_new_grid() -> None:
    sampler = Sampler(1)
    assert sampler.take(100.0)
    assert sampler.take(5.0)
    assert not sampler.take(5.4)
    assert sampler.take(6.0)


@example(fps=2.125, intervals_s=[0.0, 0.375, 1.0, 0.0, 0.375])
@given(fps=RATES, intervals_s=st.lists(st.floats(min_value=0, max_value=3), min_size=1, max_size=200))
def test_never_more_than_asked_for_in_any_window(fps: float, intervals_s: list[float]) -> None:
    times_s, now_s = [], 50.0
    for interval_s in intervals_s:
        now_s += interval_s
        times_s.append(now_s)
    chosen = taken(fps, times_s)
    assert chosen[0] == times_s[0]
    for first in range(len(chosen)):
        for last in range(first, len(chosen)):
            window_s = chosen[last] - chosen[first]
            assert last - first + 1 <= window_s * fps + 2 + 1e-6


@given(fps=RATES, source_per_s=RATES)
def test_a_steady_source_gives_what_was_asked_for(fps: float, source_per_s: float) -> None:
    seconds = 400 / min(fps, source_per_s)
    if source_per_s * seconds > 20_000:
        seconds = 20_000 / source_per_s
    times_s = steady(source_per_s, seconds)
    expected = min(fps, source_per_s) * len(times_s) / source_per_s
    assert abs(len(taken(fps, times_s)) - expected) <= 3


@pytest.mark.parametrize(
    ("expected_per_s", "patience_s", "limit_s"),
    [(30, 0.1, 5.0), (2, 0.1, 5.0), (1, 5.0, 10.0), (0.1, 5.0, 100.0), (0, 3.0, 5.0), (30, 20.0, 22.0)],
)
def test_silence_means_death_after_ten_periods_and_the_cameras_own_time_out(
    expected_per_s: float, patience_s: float, limit_s: float
) -> None:
    assert stall_limit_s(expected_per_s, patience_s) == pytest.approx(limit_s)


def test_announced_rates_that_cannot_be_are_not_believed() -> None:
    assert [sane_rate(rate) for rate in (90_000.0, 0.0, -1.0, 29.97)] == [0.0, 0.0, 0.0, 29.97]


@given(seed=st.integers(), failures=st.integers(min_value=1, max_value=200))
def test_backoff_stays_between_its_bounds(seed: int, failures: int) -> None:
    backoff = Backoff(1.0, 60.0, 60.0, random.Random(seed))
    delays_s = [backoff.failed(healthy_s=0.0) for _ in range(failures)]
    for number, delay_s in enumerate(delays_s):
        assert MIN_DELAY_S <= delay_s <= min(60.0, 2.0**number)


def test_backoff_doubles_and_a_minute_of_health_starts_it_over() -> None:
    backoff = Backoff(rng=random.Random(0))
    ceilings_s = []
    for _ in range(8):
        ceilings_s.append(backoff.ceiling_s())
        backoff.failed(healthy_s=59.0)
    assert ceilings_s == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.failed(healthy_s=60.0)
    assert backoff.ceiling_s() == 2.0


def test_jitter_is_full() -> None:
    delays_s = [Backoff(initial_s=10, rng=random.Random(seed)).failed(0.0) for seed in range(400)]
    assert min(delays_s) < 1.0
    assert max(delays_s) > 9.0
    assert 4.0 < sum(delays_s) / len(delays_s) < 6.0


def test_a_slow_camera_is_failing_after_some_of_its_turns_and_a_fast_one_after_seconds() -> None:
    assert [failing_after_s(fps) for fps in (30.0, 5.0, 0.1)] == pytest.approx([5.0, 5.0, 30.0])
