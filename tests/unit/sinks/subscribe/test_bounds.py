"""From where to where a subscriber reads, as the options say it."""

from pathlib import Path

import pytest

from schemas.errors import ConfigError
from sinks.subscribe.bounds import Bounds
from sinks.subscribe.positions import Positions

NOW = 1_790_000_000_000_000
HOUR_US = 3_600_000_000


@pytest.mark.parametrize(
    ("from_", "to", "bounds"),
    [
        (None, None, Bounds()),
        ("-1h", None, Bounds(NOW - HOUR_US)),
        ("-2h", "-1h", Bounds(NOW - 2 * HOUR_US, NOW - HOUR_US, True)),
        (None, "now", Bounds(None, NOW, True)),
        (None, "end", Bounds(None, None, True)),
        ("-1h", "end", Bounds(NOW - HOUR_US, None, True)),
    ],
)
def test_what_the_options_mean(from_: str | None, to: str | None, bounds: Bounds) -> None:
    assert Bounds.parse(from_, to, NOW) == bounds


@pytest.mark.parametrize(
    ("from_", "to", "told"),
    [
        ("-1h", "-2h", "is later than"),
        ("-1h", "1h", "is in the future"),
        ("yesterday", "end", "is not a time"),
        ("-1h", "noon", "is not a time"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(from_: str, to: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Bounds.parse(from_, to, NOW)


def test_positions_end_where_reading_ends_and_not_at_a_time() -> None:
    with pytest.raises(ConfigError, match="takes `end` and no time"):
        Bounds.parse("-2h", "-1h", NOW, with_positions=True)
    assert Bounds.parse("-2h", "end", NOW, with_positions=True).has_end


def test_each_record_is_asked_for_its_time() -> None:
    bounds = Bounds.parse("-2h", "-1h", NOW)
    ages_h = (2.001, 2, 1.5, 1, 0.5)
    assert [bounds.holds((NOW - int(age * HOUR_US)) // 1000) for age in ages_h] == [False, True, True, False, False]
    assert not Bounds.parse("-2h", "end", NOW).holds(0)
    assert Bounds.parse(None, "end", NOW).holds(0)


def test_where_a_file_says_where_to_go_on_no_time_counts(tmp_path: Path) -> None:
    bounds, kept = Bounds.parse("-2h", "end", NOW), Positions(tmp_path / "p", "labels", None)
    assert bounds.going_on(None) == bounds.going_on(kept) == bounds
    kept.offsets = {0: 5}
    assert bounds.going_on(kept) == Bounds(None, None, True)
