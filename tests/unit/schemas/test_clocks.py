"""The header that tells the time of a frame's record, on frames and labels and for each item of a batch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clocks import (
    TOLERANCE_MS,
    batch_clocks,
    clock_headers,
    clock_of,
    read_batch_clocks,
    read_clock,
)
from schemas.coordinates import Coordinates
from schemas.headers import CLOCK, ITEM_CLOCKS, Failure, Header, failure_headers

NOW_MS = 1_764_000_000_000


@pytest.mark.parametrize(
    ("captured_ms", "record_ms", "expected"),
    [
        (NOW_MS, NOW_MS, None),
        (NOW_MS - TOLERANCE_MS, NOW_MS, None),
        (NOW_MS - TOLERANCE_MS - 1, NOW_MS, NOW_MS),
        (NOW_MS + TOLERANCE_MS + 1, NOW_MS, NOW_MS),
        (0, NOW_MS, NOW_MS),
        (NOW_MS, 0, None),
        (NOW_MS, -1, None),
    ],
)
def test_a_header_is_needed_where_the_capture_time_is_another(
    captured_ms: int, record_ms: int, expected: int | None
) -> None:
    assert clock_of(captured_ms * 1000, record_ms) == expected


@given(st.lists(st.none() | st.integers(1, 2**63 - 1), max_size=20))
def test_each_frame_of_a_batch_has_its_own(clocks: list[int | None]) -> None:
    assert read_batch_clocks(batch_clocks(clocks), len(clocks)) == clocks


def test_no_header_where_no_frame_has_a_clock() -> None:
    assert batch_clocks([None, None]) == clock_headers(None) == []
    assert read_batch_clocks(None, 2) == [None, None]


@pytest.mark.parametrize("value", [b"", b"now", b"-5", b"0", b"1e9", b"9" * 5000, b"\xff", "१".encode()])
def test_what_is_no_time_is_none(value: bytes) -> None:
    assert read_clock([(CLOCK, value)]) is None
    assert read_batch_clocks([(ITEM_CLOCKS, value + b",7")], 2) == [None, 7]


def test_a_batch_header_of_another_length_is_none() -> None:
    found: list[Header] = [(ITEM_CLOCKS, b"7,8")]
    assert read_batch_clocks(found, 3) == [None] * 3


def test_retries_and_dead_letters_keep_it() -> None:
    failure = Failure(Coordinates("frames.raw", 0, 7), NOW_MS, "stream", "x", "", 1)
    assert read_clock(failure_headers(clock_headers(NOW_MS), failure)) == NOW_MS
