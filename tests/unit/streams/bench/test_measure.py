"""The figures that benchmarks print."""

import pytest

from streams.bench.measure import median_ratio, percentile, steady_rate_per_s


def test_a_steady_stream_has_its_rate_whatever_came_before() -> None:
    steady = [(10 + i * 0.1, 5) for i in range(100)]
    assert steady_rate_per_s(steady) == pytest.approx(50)
    slow_start = [(i * 1.0, 1) for i in range(10)]
    assert steady_rate_per_s(slow_start + steady) == pytest.approx(50)


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        steady_rate_per_s([(1.0, 5)])


def test_percentile_and_ratio() -> None:
    assert percentile([3, 1, 2, 4], 0.5) == 3
    assert percentile([1], 0.99) == 1
    assert median_ratio([(1, 2), (3, 2), (1, 1)]) == 1
