"""How fast a replay copies."""

import pytest

from ingest.replay.pacing import MAX_GAP_S, Pacer, Rate, Unit, brake_s, parse_rate
from schemas.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        (None, Rate()),
        ("50/s", Rate(50, Unit.FRAMES)),
        ("0.5/s", Rate(0.5, Unit.FRAMES)),
        ("20MB/s", Rate(20, Unit.MEGABYTES)),
        ("2x", Rate(2, Unit.TIMES)),
        ("2000000/s", Rate(2e6, Unit.FRAMES)),
        ("1234567.5/s", Rate(1234567.5, Unit.FRAMES)),
        ("0.00001MB/s", Rate(1e-5, Unit.MEGABYTES)),
    ],
)
def test_a_rate_is_written_in_three_ways(text: str | None, rate: Rate) -> None:
    assert parse_rate(text) == rate
    assert str(rate) == (text or "")


@pytest.mark.parametrize("text", ["", "50", "0/s", "-1x", "2 x", "nan/s", "5MB", "x", "9" * 400 + "/s"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--rate"):
        parse_rate(text)


def sent_at_s(rate: str, frames: list[tuple[int, int]]) -> list[float]:
    """When frames of (time in ms, size) go, if somebody waits as he is told."""
    now_s, sent = 0.0, []
    pacer = Pacer(parse_rate(rate), now_s)
    for record_ms, size_bytes in frames:
        while (wait_s := pacer.wait_s(now_s, record_ms, size_bytes)) > 0:
            now_s += wait_s
        sent.append(round(now_s, 6))
    return sent


def test_frames_and_bytes_a_second() -> None:
    assert sent_at_s("2/s", [(0, 1)] * 5) == [0.0, 0.5, 1.0, 1.5, 2.0]
    in_bytes = sent_at_s("1MB/s", [(0, 500_000)] * 21)
    assert 9.0 < in_bytes[-1] <= 10.5


def test_the_original_pace_is_kept_and_gaps_are_cut_short() -> None:
    assert sent_at_s("1x", [(0, 1), (1_000, 1), (1_500, 1)]) == [0.0, 1.0, 1.5]
    assert sent_at_s("2x", [(0, 1), (1_000, 1), (1_500, 1)]) == [0.0, 0.5, 0.75]
    assert sent_at_s("2x", [(0, 1), (3_600_000, 1)]) == [0.0, MAX_GAP_S / 2]


def test_an_older_frame_goes_at_once_and_does_not_turn_the_time_back() -> None:
    assert sent_at_s("1x", [(0, 1), (2_000, 1), (500, 1), (3_000, 1)]) == [0.0, 2.0, 2.0, 3.0]


def test_what_is_late_is_not_caught_up_in_a_burst() -> None:
    pacer = Pacer(parse_rate("1x"), 0.0)
    assert pacer.wait_s(0.0, 0, 1) == 0.0
    assert pacer.wait_s(60.0, 100, 1) == 0.0, "a minute of outage"
    waits = [pacer.wait_s(60.0, 100 + 500 * n, 1) for n in range(1, 5)]
    assert waits[:2] == [0.0, 0.0]
    assert waits[2] > 0


def test_a_brake_shares_the_time() -> None:
    assert brake_s(0.1, 0.5) == pytest.approx(0.1)
    assert brake_s(0.1, 0.25) == pytest.approx(0.3)
    assert brake_s(0.1, 0.0) == 1.0
    assert brake_s(0.1, 0.001) == 1.0
