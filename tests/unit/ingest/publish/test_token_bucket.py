"""A limit on an average rate: never more than that, and no longer a wait than needed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.publish.token_bucket import TokenBucket


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 5), max_size=200))
def test_a_bucket_never_gives_more_than_its_rate_and_a_second_of_burst(rate: float, pauses: list[float]) -> None:
    bucket, now, taken = TokenBucket(rate, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        while bucket.wait_s(now) == 0.0:
            taken += 1
        assert taken <= now * rate + max(1.0, rate) + 1e-6


def test_waiting_as_long_as_told_gives_a_token() -> None:
    bucket, now = TokenBucket(7.0, 100.0), 100.0
    for _ in range(50):
        now += bucket.wait_s(now)
        bucket.wait_s(now)
    assert now - 100.0 == pytest.approx(49 / 7, rel=0.5)


@given(
    rate=st.floats(1_000, 1e7),
    records=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 20_000_000)), max_size=60),
)
def test_bytes_a_second_are_bounded_too_also_by_records_larger_than_a_seconds_worth(
    rate: float, records: list[tuple[float, int]]
) -> None:
    bucket, now, taken, largest = TokenBucket(rate, 0.0), 0.0, 0, 0
    for pause, size in records:
        now += pause
        while (wait_s := bucket.wait_s(now, size)) > 0:
            now += wait_s
        taken, largest = taken + size, max(largest, size)
        assert taken <= (now * rate + max(rate, largest)) * (1 + 1e-6)


def test_a_record_larger_than_a_seconds_worth_passes_and_the_next_waits_for_it() -> None:
    bucket = TokenBucket(100.0, 0.0)
    assert bucket.wait_s(1.0, 250.0) == 0.0
    assert bucket.wait_s(1.0, 100.0) == pytest.approx(2.5)
    assert bucket.wait_s(3.4, 100.0) > 0
    assert bucket.wait_s(3.5, 100.0) == 0.0


def test_a_rate_of_nothing_is_a_fault() -> None:
    with pytest.raises(ValueError, match="rate_per_s"):
        TokenBucket(0.0, 0.0)
