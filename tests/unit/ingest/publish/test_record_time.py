"""The time of a frame's record, at the edges of what is believed."""

import pytest

from ingest.publish.record_time import AHEAD_US, HOUR_US, Clock, RecordTime, record_time

NOW = 1_764_000_000_000_000
DAY_US = 24 * HOUR_US


@pytest.mark.parametrize(
    ("captured_at", "expected"),
    [
        (NOW, RecordTime(NOW)),
        (NOW - DAY_US // 2, RecordTime(NOW - DAY_US // 2)),
        (NOW - DAY_US // 2 - 1, RecordTime(NOW, Clock.BEHIND)),
        (0, RecordTime(NOW, Clock.BEHIND)),
        (-1, RecordTime(NOW, Clock.BEHIND)),
        (NOW + AHEAD_US, RecordTime(NOW + AHEAD_US)),
        (NOW + AHEAD_US + 1, RecordTime(NOW, Clock.AHEAD)),
        (2**63 - 1, RecordTime(NOW, Clock.AHEAD)),
    ],
)
def test_only_a_credible_capture_time_is_the_time_of_the_record(captured_at: int, expected: RecordTime) -> None:
    assert record_time(captured_at, NOW, DAY_US) == expected


@pytest.mark.parametrize("retention_h", [1, 24, 24 * 30])
def test_every_record_stays_for_half_of_the_retention_and_none_much_longer_than_the_whole(retention_h: int) -> None:
    retention_us = retention_h * HOUR_US
    for captured_at in range(NOW - 2 * retention_us, NOW + 2 * retention_us, retention_us // 10):
        left_us = record_time(captured_at, NOW, retention_us).at + retention_us - NOW
        assert retention_us // 2 <= left_us <= retention_us + AHEAD_US
