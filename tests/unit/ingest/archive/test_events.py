"""What `--only` means, and which frames its windows hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.archive.events import Only, Windows, parse_only
from schemas.errors import ConfigError
from schemas.records import Prediction
from tests.support.sink_records import a_label


def test_the_words_of_only() -> None:
    assert parse_only("review|dead|class=Dog*,before=5s,after=2m") == Only(True, True, ("dog*",), 5_000, 120_000)
    assert parse_only("dead") == Only(dead=True)
    assert str(parse_only("class=b,dead,class=a")) == str(parse_only("class=a,dead,class=b,before=30s"))
    assert parse_only(str(parse_only("review,after=90s"))) == parse_only("review,after=90s")


@pytest.mark.parametrize(
    "text", ["", "before=3s", "dead,before=3", "dead,before=x", "classes=a", "class=", "dead,after=-1s"]
)
def test_other_words_are_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--only"):
        parse_only(text)


def test_an_event_is_told_by_the_best_class() -> None:
    only = parse_only("class=espresso,class=50?")
    assert only.is_event(a_label())
    assert only.is_event(a_label(predictions=(Prediction("504", "mug", 0.4), Prediction("1", "espresso", 0.1))))
    assert not only.is_event(a_label(predictions=(Prediction("1", "mug", 0.4), Prediction("967", "espresso", 0.1))))
    assert not only.is_event(a_label(predictions=()))


EVENTS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60)), max_size=20)


@given(EVENTS, st.integers(0, 6), st.integers(0, 6))
def test_a_frame_is_held_by_any_event_of_its_source(
    events: list[tuple[str, int]], before_ms: int, after_ms: int
) -> None:
    windows = Windows(Only(dead=True, before_ms=before_ms, after_ms=after_ms))
    for source_id, at_ms in events:
        windows.add(source_id, at_ms)
    for source_id in "abc":
        for at_ms in range(-10, 80):
            held = any(one == source_id and at - before_ms <= at_ms <= at + after_ms for one, at in events)
            assert windows.holds(source_id, at_ms) == held, (source_id, at_ms)


def test_windows_that_touch_are_one_and_old_ones_are_forgotten() -> None:
    windows = Windows(Only(dead=True, before_ms=10, after_ms=10))
    for at_ms in range(0, 10_000, 15):
        windows.add("a", at_ms)
    assert len(windows._edges["a"]) == 2
    windows.add("b", 50)
    windows.forget_before(61)
    assert not windows.holds("b", 50)
    assert windows.holds("a", 50)
