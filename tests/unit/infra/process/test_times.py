"""Times as people write them."""

import pytest

from infra.process.times import parse_duration_ms, parse_time, parse_time_range
from schemas.errors import ConfigError
from schemas.records import micros_to_iso

NOW = 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("-10m", NOW - 600_000_000),
        ("-1.5h", NOW - 5_400_000_000),
        ("+250ms", NOW + 250_000),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T22:13:20", NOW),
        ("2023-11-15T00:13:20+02:00", NOW),
        ("2023-11-14", 1_699_920_000_000_000),
    ],
)
def test_parse_time(text: str, expected: int) -> None:
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "10", "-10", "-10 m", "25:00"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a time"):
        parse_time(text, NOW)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        (253_402_300_800_000_000, "253402300800000000"),
        (NOW * 1000, str(NOW * 1000)),
        (-(2**63), str(-(2**63))),
        (10**22, "1" + "0" * 22),
    ],
)
def test_a_time_that_no_calendar_has_is_its_own_number(micros: int, text: str) -> None:
    assert micros_to_iso(micros) == text


def test_iso_round_trip() -> None:
    assert parse_time(micros_to_iso(NOW + 1), 0) == NOW + 1


def test_a_range_is_read_with_one_now() -> None:
    assert parse_time_range("-10m", "now", NOW) == (NOW - 600_000_000, NOW)
    assert parse_time_range("-10m", None, NOW) == (NOW - 600_000_000, None)
    assert parse_time_range(None, None, NOW) == (None, None)
    assert parse_time_range("now", "now", NOW) == (NOW, NOW)


def test_a_reversed_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="--from -5m is later than --to -10m"):
        parse_time_range("-5m", "-10m", NOW)


def test_durations() -> None:
    assert [parse_duration_ms(text, "x") for text in ("250ms", "1.5s", "30d")] == [250, 1_500, 2_592_000_000]
    for text in ("30", "d", "1y", "1e9d", "nan", "s30"):
        with pytest.raises(ConfigError, match="is not a duration"):
            parse_duration_ms(text, "--keep")
