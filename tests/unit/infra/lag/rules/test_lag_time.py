"""Lag in seconds by halving, against logs whose timestamps are known, and the fall-back between two looks."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.lag.rules.lag_time import Answer, Bracket, EndHistory, LagTimeKind, first_bracket
from tests.support.paths import SHARED

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
CASES = SHARED / "reference" / "lag_time_cases.json"


def ask(log: list[int], timestamp_ms: int) -> Answer | None:
    """What a broker answers for a log that has these timestamps at the offsets 0, 1, 2, ..."""
    return next((Answer(offset, at) for offset, at in enumerate(log) if at >= timestamp_ms), None)


def search(log: list[int], bracket: Bracket) -> Bracket:
    while (question := bracket.question_ms) is not None:
        bracket = bracket.answered(ask(log, question))
    return bracket


ages_ms = st.lists(st.integers(-200_000, 400 * 24 * HOUR_MS), min_size=1, max_size=40)


@given(ages_ms.map(lambda ages: sorted({NOW_MS - age for age in ages})), st.data())
def test_in_order_and_all_different_the_timestamp_is_exact(log: list[int], data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(log) - 1))
    found = search(log, first_bracket(offset, NOW_MS))
    assert (found.kind, found.found_ms) == (LagTimeKind.EXACT, log[offset])


@given(ages_ms.map(lambda ages: sorted(NOW_MS - age // 10 * 10 for age in ages)), st.data())
def test_equal_timestamps_give_the_right_one(log: list[int], data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(log) - 1))
    found = search(log, first_bracket(offset, NOW_MS))
    assert found.found_ms == log[offset]
    is_first = log.index(log[offset]) == offset
    assert found.kind is (LagTimeKind.EXACT if is_first else LagTimeKind.BOUND)


@given(ages_ms.map(lambda ages: [NOW_MS - age for age in ages]), st.data())
def test_out_of_order_the_record_is_as_old_as_said_at_least(log: list[int], data: st.DataObject) -> None:
    """As after a camera's spool was sent: the record is behind younger ones."""
    offset = data.draw(st.integers(0, len(log) - 1))
    found = search(log, first_bracket(offset, NOW_MS))
    assert found.found_ms is not None
    assert found.found_ms >= log[offset]
    if found.kind is LagTimeKind.EXACT:
        assert found.found_ms == log[offset]
    else:
        assert any(before >= log[offset] for before in log[:offset])


@given(ages_ms.map(lambda ages: sorted({NOW_MS - age for age in ages})), st.data())
def test_the_next_search_begins_where_the_last_one_ended(log: list[int], data: st.DataObject) -> None:
    before = data.draw(st.integers(0, len(log) - 1))
    after = data.draw(st.integers(0, len(log) - 1))
    last = search(log, first_bracket(before, NOW_MS))
    found = search(log, first_bracket(after, NOW_MS, last, elapsed_ms=10_000))
    assert (found.kind, found.found_ms) == (LagTimeKind.EXACT, log[after])
    if after == before:
        assert found.rounds == 0


def test_a_day_of_frames_takes_twenty_questions_and_a_later_look_ten() -> None:
    log = [NOW_MS - 24 * HOUR_MS + n * 10_000 for n in range(8640)]
    found = search(log, first_bracket(6000, NOW_MS))
    assert found.rounds <= 20
    assert search(log, first_bracket(6003, NOW_MS + 30_000, found, elapsed_ms=30_000)).rounds <= 10


def cases() -> list[Mapping[str, Any]]:
    return json.loads(CASES.read_text())["cases"] if CASES.exists() else []


@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case["name"]))
def test_between_two_looks_the_time_is_that_of_kafka_lag_exporter(case: Mapping[str, Any]) -> None:
    history = EndHistory(case["size"])
    for count, (offset, at) in enumerate(case["points"], 1):
        history.add(offset, at)
        if count == 4 and "stored_after_4_points" in case:
            assert len(history.points) == case["stored_after_4_points"]
    assert len(history.points) == case.get("stored", len(history.points))
    for (offset, at), _ in case.get("then", []):
        assert not history.add(offset, at)
    for offset, expected in case.get("lookups", {}).items():
        found = history.at(int(offset))
        if expected == "TooFewPoints":
            assert found is None
        elif expected == "LagIsZero":
            assert found == history.points[-1].at
        else:
            assert found == pytest.approx(
                float(expected.replace("Infinity", "inf") if isinstance(expected, str) else expected)
            )


def test_between_two_looks_without_the_shared_cases() -> None:
    history = EndHistory(size=3)
    assert history.at(5) is None
    for offset, at in ((0, 0.0), (10, 10.0), (10, 20.0), (10, 30.0), (20, 40.0)):
        assert history.add(offset, at)
    assert [point.at for point in history.points] == [10.0, 30.0, 40.0]
    assert history.at(15) == 35.0
    assert history.at(20) == 40.0
    assert not history.add(30, 40.0)
    assert not history.add(19, 50.0)
