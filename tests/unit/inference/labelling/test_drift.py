"""Drift of confidence: silent without a change at the stated rate, seen after one, absent where samples are few."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.labelling.drift import (
    FINE_BINS,
    MIN_SAMPLES,
    ConfidenceWindows,
    Counts,
    chi_square_quantile,
    critical_psi,
    drift,
)

FALSE_ALARM_SHARE = 0.05
TRIALS = 2_000


def histogram(samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Counts:
    return np.histogram(samples, FINE_BINS, (0.0, 1.0))[0].astype(np.int64)


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [(0.5, 9, 8.343), (0.95, 9, 16.919), (0.99, 9, 21.666), (0.999, 9, 27.877), (0.95, 1, 3.841), (0.999, 3, 16.266)],
)
def test_quantiles_are_those_of_the_tables(probability: float, degrees: int, expected: float) -> None:
    assert chi_square_quantile(probability, degrees) == pytest.approx(expected, rel=0.03)


def test_the_critical_value_falls_with_the_samples_and_is_no_rule_of_thumb() -> None:
    assert critical_psi(100, 100, 10, 0.05) == pytest.approx(0.338, abs=0.005), "0.25 would alarm without any change"
    assert critical_psi(100_000, 10_000, 10, 0.05) == pytest.approx(0.00186, abs=0.0001), "0.1 would hide a change"


@pytest.mark.parametrize(("reference", "present"), [(8_640, 360), (360, 360), (2_000, 150)])
@pytest.mark.parametrize("shape", [(2.0, 2.0), (8.0, 1.0), (0.6, 0.4)], ids=["middling", "sure", "either"])
def test_without_a_change_alarms_are_as_rare_as_stated(
    reference: int, present: int, shape: tuple[float, float]
) -> None:
    random, alarms = np.random.default_rng(20_261_126), 0
    for _ in range(TRIALS):
        found = drift(
            histogram(random.beta(*shape, reference)), histogram(random.beta(*shape, present)), FALSE_ALARM_SHARE
        )
        assert found is not None
        alarms += found.psi > found.critical
    # Five standard deviations of the share that 2,000 trials give.
    assert alarms / TRIALS == pytest.approx(FALSE_ALARM_SHARE, abs=0.025)


@pytest.mark.parametrize(
    ("before", "after"),
    [((8.0, 1.0), (4.0, 2.0)), ((8.0, 1.0), (8.0, 2.0)), ((2.0, 2.0), (30.0, 30.0)), ((8.0, 1.0), (0.6, 0.4))],
    ids=["lower", "a little lower", "narrower", "split"],
)
def test_a_change_is_seen(before: tuple[float, float], after: tuple[float, float]) -> None:
    random = np.random.default_rng(7)
    for _ in range(50):
        found = drift(histogram(random.beta(*before, 8_640)), histogram(random.beta(*after, 360)), 0.001)
        assert found is not None
        assert found.psi > found.critical


def test_confidences_that_never_varied_and_moved_are_seen_and_those_that_stay_are_not() -> None:
    before, after = np.zeros(FINE_BINS, np.int64), np.zeros(FINE_BINS, np.int64)
    before[40], after[15] = 8_640, 360
    moved, same = drift(before, after, 0.001), drift(before, before, 0.001)
    assert moved is not None
    assert moved.psi > moved.critical
    assert same is not None
    assert same.psi == 0 < same.critical


@given(
    st.lists(st.integers(0, 10**6), min_size=FINE_BINS, max_size=FINE_BINS),
    st.lists(st.integers(0, 300), min_size=FINE_BINS, max_size=FINE_BINS),
)
def test_whatever_was_counted_it_is_absent_or_a_finite_number(before: list[int], now: list[int]) -> None:
    found = drift(np.array(before, np.int64), np.array(now, np.int64), 0.001)
    assert (found is None) == (min(sum(before), sum(now)) < MIN_SAMPLES)
    if found is not None:
        assert 0 <= found.psi < math.inf
        assert 0 < found.critical < math.inf


def windows(sample_every_s: float = 0.0) -> ConfidenceWindows:
    return ConfidenceWindows(window_s=60, reference_windows=2, sample_every_s=sample_every_s)


def totals(of: ConfidenceWindows, now_s: float) -> tuple[int, int]:
    reference, present = of.histograms(now_s)
    return int(reference.sum()), int(present.sum())


def test_samples_go_from_the_present_window_to_the_reference_and_out() -> None:
    found = windows()
    for now_s in range(1_000, 1_060):
        found.add(0.7, now_s)
    assert totals(found, 1_059) == (0, 60)
    assert totals(found, 1_090) == (40, 20)
    assert totals(found, 1_125) == (60, 0)
    assert totals(found, 1_230) == (0, 0), "too old"


def test_one_sample_in_a_while_counts_and_what_is_no_share_never() -> None:
    found = windows(sample_every_s=10)
    for now_s in range(1_000, 1_060):
        found.add(0.7, now_s)
    assert totals(found, 1_059) == (0, 6)
    other = windows()
    for confidence in (math.nan, math.inf, -0.1, 1.1):
        other.add(confidence, 1_000)
    assert totals(other, 1_000) == (0, 0)
    other.add(1.0, 1_000)
    assert other.histograms(1_000)[1][FINE_BINS - 1] == 1


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 500)), max_size=60))
def test_a_place_that_is_used_again_holds_nothing_of_before(samples: list[tuple[float, float]]) -> None:
    found, now_s, all_s = windows(), 0.0, list[float]()
    for confidence, later_s in samples:
        now_s += later_s
        found.add(confidence, now_s)
        all_s.append(now_s)
    slots = [int(each // 10) for each in all_s]
    now = int(now_s // 10)
    assert totals(found, now_s) == (
        sum(6 <= now - each < 18 for each in slots),
        sum(now - each < 6 for each in slots),
    )
