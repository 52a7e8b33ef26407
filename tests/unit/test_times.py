"""Times as people write them."""

import pytest

from infra.times import parse_time
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
    with pytest.raises(ConfigError, match="is no time"):
        parse_time(text, NOW)


def test_iso_round_trip() -> None:
    assert parse_time(micros_to_iso(NOW + 1), 0) == NOW + 1
