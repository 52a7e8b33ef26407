"""Removed frames without an outcome are told apart from those with one, those of other times, and unknown ones."""

import pytest

from infra.audit.expired import ExpiredOffsets
from infra.audit.ledger import Ledger
from infra.kafka.spans import Period, Span
from schemas.coordinates import Coordinates, TopicPartition

TOPIC = "frames.raw"
KEY = TopicPartition(TOPIC, 0)


def gaps(expired: ExpiredOffsets) -> list[tuple[int, int]]:
    firsts, lengths = expired.gaps()
    return list(zip(firsts.tolist(), lengths.tolist(), strict=True))


def told(end: int, outcomes: dict[int, int | None], period: Period, whole_from_ms: int | None = None) -> ExpiredOffsets:
    expired = ExpiredOffsets(end, period, whole_from_ms)
    for offset, frame_ms in outcomes.items():
        expired.outcome(offset, frame_ms)
    return expired


def test_the_count_begins_with_the_lowest_offset_that_an_outcome_refers_to() -> None:
    assert gaps(told(20, {}, Period())) == []
    assert gaps(told(20, {20: None, 99: None}, Period())) == []
    assert gaps(told(20, {7: None, 5: None, 10: None}, Period())) == [(6, 1), (8, 2), (11, 9)]


@pytest.mark.parametrize(
    ("from_s", "to_s", "found"),
    [
        (None, None, [(1, 3), (5, 5)]),
        (2, 3, [(1, 3)]),
        (5, None, [(5, 5)]),
        (4, 5, [(1, 3), (5, 5)]),
        (None, 1, []),
    ],
)
def test_a_gap_is_of_another_time_when_both_its_neighbours_are(
    from_s: int | None, to_s: int | None, found: list[tuple[int, int]]
) -> None:
    period = Period(*(None if at_s is None else at_s * 1_000_000 for at_s in (from_s, to_s)))
    assert gaps(told(10, {0: 1_000, 4: 4_000}, period)) == found


def test_nothing_is_said_of_times_whose_outcomes_were_removed_too() -> None:
    late: dict[int, int | None] = {0: 1_000, 10: 8_000, 12: 9_000}
    assert gaps(told(13, late, Period(), whole_from_ms=8_000)) == [(11, 1)]
    assert gaps(told(13, {0: None, 12: 7_999}, Period(), whole_from_ms=8_000)) == []


def balance_of(frames: set[int], outcomes: set[int]) -> tuple[Ledger, int]:
    ledger = Ledger([Span(TOPIC, 0, 10, 20)], expired={KEY: ExpiredOffsets(10, Period())})
    for offset in outcomes:
        ledger.label(Coordinates(TOPIC, 0, offset))
    for span in ledger.unverified():
        for offset in frames & set(range(span.start, span.end)):
            ledger.frame_found(span.topic_partition, offset, 0)
        ledger.searched(span)
    return ledger, ledger.balance().expired


def test_a_ledger_is_not_ok_when_frames_expired_without_an_outcome() -> None:
    ledger, expired = balance_of(set(range(10, 20)), {0, 1, 4, 9, *range(10, 20)})
    assert (expired, ledger.balance().missing_count, ledger.balance().ok) == (2 + 4, 0, False)
    assert ledger.lowest_open() == {KEY: 2}
    assert balance_of(set(range(10, 20)), set(range(3, 20)))[0].balance().ok


def test_gaps_no_longer_than_those_of_markers_are_doubtful_and_no_loss() -> None:
    frames = {offset for offset in range(10, 20) if offset % 2}
    ledger, expired = balance_of(frames, {*range(1, 20, 2)})
    assert (expired, ledger.expired_counts(), ledger.balance().ok) == (0, (0, 4), True)
    assert balance_of(frames, {1, 7, 9, *range(11, 20, 2)})[0].expired_counts() == (5, 1)


def test_what_retention_takes_during_the_search_is_expired_unless_an_outcome_comes() -> None:
    ledger = Ledger([Span(TOPIC, 0, 0, 10)])
    ledger.label(Coordinates(TOPIC, 0, 1))
    ledger.searched(Span(TOPIC, 0, 0, 10))
    ledger.retention_removed(Span(TOPIC, 0, 0, 4))
    assert (ledger.balance().expired, ledger.balance().ok) == (0, True), "as few as there are holes: may be markers"
    ledger = Ledger([Span(TOPIC, 0, 0, 4)])
    ledger.label(Coordinates(TOPIC, 0, 1))
    ledger.searched(Span(TOPIC, 0, 0, 4))
    ledger.retention_removed(Span(TOPIC, 0, 0, 4))
    assert ledger.balance().expired == 3
    ledger.label(Coordinates(TOPIC, 0, 0))
    assert (ledger.balance().expired, ledger.balance().labels) == (2, 2)
