"""What a person may ask for."""

import pytest

from ingest.replay.wish import Wish, parse_name, parse_wish
from schemas.errors import ConfigError

NOW = 1_790_000_000_000_000  # 2026-09-21T14:13:20Z


def wish(from_: str, to: str = "now", tz: str | None = None) -> Wish:
    return parse_wish(from_, to, tz, NOW, None, None, None)


def test_times_with_a_zone_and_relative_ones() -> None:
    assert wish("-10m").from_at == NOW - 600_000_000
    assert wish("2026-09-21T14:00:00Z", "2026-09-21T16:10:00+02:00") == Wish(
        1_789_999_200_000_000, 1_789_999_800_000_000
    )


def test_a_time_without_a_zone_needs_one() -> None:
    with pytest.raises(ConfigError, match="no time zone: write 2026-09-21T14:00:00Z"):
        wish("2026-09-21T14:00:00")
    with pytest.raises(ConfigError, match="--to 2026-09-21 has no time zone"):
        wish("-10d", "2026-09-21")
    assert wish("2026-09-21T16:00:00", tz="Europe/Berlin").from_at == 1_789_999_200_000_000
    assert wish("2026-09-21T14:00:00Z", tz="Europe/Berlin").from_at == 1_789_999_200_000_000, "its own zone counts"
    with pytest.raises(ConfigError, match="--tz Mars is no time zone"):
        wish("2026-09-21T14:00:00", tz="Mars")
    with pytest.raises(ConfigError, match="happens twice or never"):
        wish("2025-10-26T02:30:00", tz="Europe/Berlin")


@pytest.mark.parametrize(
    ("from_", "to", "told"),
    [
        ("-1m", "-2m", "is not before"),
        ("-1m", "-1m", "is not before"),
        ("-1m", "+1m", "in the future"),
        ("yesterday", "now", "is not a time"),
    ],
)
def test_ranges_that_cannot_be(from_: str, to: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        wish(from_, to)


def test_names() -> None:
    assert parse_name("new-model_2.1", NOW) == "new-model_2.1"
    assert parse_name(None, NOW).startswith("replay-20260921T141320-")
    assert parse_name(None, NOW) != parse_name(None, NOW)
    for name in ("", "a/b", ".hidden", "a b", "x" * 65, "a/request"):
        with pytest.raises(ConfigError, match="--name"):
            parse_name(name, NOW)
    for name in ("again.a", "again.b"):
        with pytest.raises(ConfigError, match="noise"):
            parse_name(name, NOW)


def test_how_late_frames_can_be() -> None:
    assert wish("-10m").late_us is None
    assert parse_wish("-10m", "now", None, NOW, None, None, None, "10m").late_us == 600_000_000
    with pytest.raises(ConfigError, match="--late"):
        parse_wish("-10m", "now", None, NOW, None, None, None, "soon")
