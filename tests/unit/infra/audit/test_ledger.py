"""The ledger balances: frames = labels + dead letters + missing, for any outcomes in any order."""

import time

from hypothesis import given
from hypothesis import strategies as st

from infra.audit.balance import Balance
from infra.audit.ledger import Ledger
from infra.kafka.spans import Period, Span
from schemas.coordinates import Coordinates, TopicPartition

TOPIC = "frames.raw"
KEY = (TOPIC, 0)


def at(offset: int, partition: int = 0) -> Coordinates:
    return Coordinates(TOPIC, partition, offset)


def balanced(ledger: Ledger, frames: set[int] | None = None, times_ms: dict[int, int] | None = None) -> Balance:
    """Look up the offsets without an outcome, as the audit does. `frames`: the offsets with a frame; default all."""
    for span in ledger.unverified():
        for offset in range(span.start, span.end):
            if frames is None or offset in frames:
                ledger.frame_found(span.topic_partition, offset, (times_ms or {}).get(offset, 0))
        ledger.searched(span)
    assert ledger.unverified() == []
    return ledger.balance()


def test_a_frame_with_one_outcome_is_accounted_for() -> None:
    ledger = Ledger([Span(TOPIC, 0, 10, 14), Span(TOPIC, 1, 0, 1)])
    for offset in (10, 11, 13):
        ledger.label(at(offset))
    ledger.dead_letter(at(12))
    assert not balanced(ledger).ok
    ledger.label(at(0, partition=1))
    assert balanced(ledger) == Balance(5, 4, 1, 0, [], 0)


def test_what_lies_outside_the_range_is_not_its_business() -> None:
    ledger = Ledger([Span(TOPIC, 0, 10, 11), Span(TOPIC, 1, 5, 5)])
    for source in (at(9), at(11), at(5, 1), at(0, 7), Coordinates("frames.replay", 0, 10)):
        ledger.label(source)
        ledger.dead_letter(source)
    assert balanced(ledger) == Balance(1, 0, 0, 0, [at(10)], 1)


def test_a_redriven_frame_that_was_labelled_counts_as_label_and_is_no_duplicate() -> None:
    ledger = Ledger([Span(TOPIC, 0, 0, 1)])
    ledger.label(at(0))
    ledger.redriven(at(0))
    ledger.dead_letter(at(0))
    assert balanced(ledger) == Balance(1, 1, 0, 0, [], 0)


def test_a_correction_is_no_outcome_and_no_duplicate_of_one() -> None:
    ledger = Ledger([Span(TOPIC, 0, 0, 4)])
    for offset in (0, 1, 1):
        ledger.label(at(offset), frame_id=f"f{offset}")
    ledger.dead_letter(at(2), frame_id="f2")
    for offset in (0, 0, 1, 2, 3, 9):  # 3 has no outcome, 9 is outside the range
        ledger.correction(at(offset), f"f{offset}")
    found = balanced(ledger)
    assert found == Balance(4, 2, 1, 1, [at(3)], 1, corrections=5)


def test_a_correction_counts_within_the_period_and_for_its_own_frame() -> None:
    ledger = Ledger([Span(TOPIC, 0, 0, 3)], Period(1_000_000, 2_000_000))
    for offset, frame_ms in enumerate((500, 1_500, 1_500)):
        ledger.label(at(offset), frame_ms, f"f{offset}", written_ms=1_500)
    ledger.correction(at(0), "f0")
    ledger.correction(at(1), "f1")
    ledger.correction(at(2), "of an earlier topic")
    found = balanced(ledger)
    assert (found.frames, found.labels, found.duplicates, found.corrections) == (2, 2, 0, 1)


def test_surplus_outcomes_are_duplicates_and_do_not_spoil_the_account() -> None:
    ledger = Ledger([Span(TOPIC, 0, 0, 3)])
    for offset in (0, 0, 0, 1, 2):
        ledger.label(at(offset))
    ledger.dead_letter(at(1))
    result = balanced(ledger)
    assert (result.labels, result.dead, result.duplicates, result.ok) == (3, 0, 3, True)


def test_counts_do_not_wrap_around() -> None:
    ledger = Ledger([Span(TOPIC, 0, 0, 1)])
    for _ in range(256):
        ledger.label(at(0))
    assert balanced(ledger).labels == 1


def test_offsets_without_a_frame_are_not_missing() -> None:
    ledger = Ledger([Span(TOPIC, 0, 0, 10)])
    ledger.label(at(0))
    result = balanced(ledger, frames={0, 4})
    assert (result.frames, result.missing) == (2, [at(4)])
    ledger.label(at(7))  # its frame was compacted away before anyone looked
    assert balanced(ledger).frames == 3


def test_only_frames_of_the_period_count_wherever_they_lie() -> None:
    ledger = Ledger([Span(TOPIC, 0, 0, 8)], Period(10_000_000, 11_000_000))
    ahead_labelled, labelled, open_inside, open_ahead, told_inside, told_behind, expired, last = range(8)
    assert not ledger.label(at(ahead_labelled), 11_000)
    ledger.dead_letter(at(ahead_labelled))
    assert ledger.label(at(labelled), 10_000)
    for offset in (told_inside, told_behind, expired):
        ledger.dead_letter(at(offset))
    times_ms = {open_inside: 10_999, open_ahead: 11_000, told_inside: 10_500, told_behind: 9_999, last: 10_000}
    result = balanced(ledger, frames=set(times_ms), times_ms=times_ms)
    assert (result.missing, result.labels, result.dead) == ([at(open_inside), at(last)], 1, 2)
    assert (result.frames, result.duplicates) == (5, 0)


def test_missing_is_cut_at_100_and_counted_whole() -> None:
    ledger = Ledger([Span(TOPIC, partition, 0, 80) for partition in range(3)])
    result = balanced(ledger)
    assert (len(result.missing), result.missing_count, result.frames) == (100, 240, 240)


def test_holes_far_apart_are_looked_up_one_by_one_and_near_ones_together() -> None:
    ledger = Ledger([Span(TOPIC, 0, 0, 1_000)])
    for offset in set(range(1_000)) - {3, 5, 500, 999}:
        ledger.label(at(offset))
    assert ledger.unverified() == [Span(TOPIC, 0, 3, 6), Span(TOPIC, 0, 500, 501), Span(TOPIC, 0, 999, 1_000)]


outcomes = st.lists(st.tuples(st.sampled_from(["label", "dead_letter", "redriven"]), st.integers(0, 40)), max_size=200)


@given(outcomes, st.sets(st.integers(0, 40)))
def test_agrees_with_a_plain_account(events: list[tuple[str, int]], gaps: set[int]) -> None:
    ledger = Ledger([Span(TOPIC, 0, 5, 35)])
    counts: dict[int, dict[str, int]] = {
        offset: {"label": 0, "dead_letter": 0, "redriven": 0} for offset in range(5, 35)
    }
    for kind, offset in events:
        getattr(ledger, kind)(at(offset))
        if offset in counts:
            counts[offset][kind] += 1
    result = balanced(ledger, frames=set(range(41)) - gaps)
    labelled = {offset for offset, of in counts.items() if of["label"]}
    dead = {offset for offset, of in counts.items() if of["dead_letter"]} - labelled
    missing = set(counts) - labelled - dead - gaps
    assert (result.labels, result.dead, result.missing_count) == (len(labelled), len(dead), len(missing))
    assert result.frames == result.labels + result.dead + result.missing_count
    assert result.missing == [at(offset) for offset in sorted(missing)]
    assert result.duplicates == sum(
        max(0, of["label"] + of["dead_letter"] - of["redriven"] - 1) for of in counts.values()
    )


def test_ten_million_frames_fit_into_memory_and_time() -> None:
    started = time.monotonic()
    ledger = Ledger([Span(TOPIC, 0, 0, 10_000_000)])
    for offset in range(0, 10_000_000, 100_000):
        ledger.label(at(offset))
    assert ledger.unverified() == [Span(TOPIC, 0, 1, 10_000_000)], "labelled ones between are too few to skip"
    result = ledger.balance()
    assert (result.frames, result.labels) == (10_000_000, 100)
    assert time.monotonic() - started < 5


def test_what_a_stage_still_has_is_not_missing() -> None:
    ledger = Ledger([Span(TOPIC, 0, 10, 16)])
    ledger.label(at(10))
    assert balanced(ledger).missing_count == 5
    for source in (at(10), at(12), at(9), at(99), at(12, partition=7)):
        ledger.under_way(source)
    ledger.under_way_from(TopicPartition(TOPIC, 0), 14)
    ledger.under_way_from(TopicPartition(TOPIC, 9), 0)
    assert (ledger.balance().missing, ledger.under_way_count()) == ([at(11), at(13)], 3)
    assert [offset for offset in range(20) if ledger.is_missing(at(offset))] == [11, 13]
    assert ledger.missing_ranges() == [Span(TOPIC, 0, 11, 14)]
    ledger.label(at(12))
    ledger.label(at(11))
    assert (ledger.balance().missing, ledger.under_way_count(), ledger.balance().labels) == ([at(13)], 2, 3)


def test_a_group_that_is_before_the_range_has_read_nothing_of_it() -> None:
    ledger = Ledger([Span(TOPIC, 0, 10, 12)])
    balanced(ledger)
    ledger.under_way_from(TopicPartition(TOPIC, 0), 3)
    assert (ledger.balance().missing_count, ledger.under_way_count()) == (0, 2)


def test_the_ranges_that_retention_removed_are_named_up_to_a_limit() -> None:
    ledger = Ledger([Span(TOPIC, 0, 0, 9), Span(TOPIC, 1, 0, 3)])
    for offset in (2, 5):
        ledger.label(at(offset))
    for span in ledger.unverified():
        ledger.searched(span)
        ledger.retention_removed(span)
    assert ledger.expired_counts() == (10, 0)
    ranges = [Span(TOPIC, 0, 0, 2), Span(TOPIC, 0, 3, 5), Span(TOPIC, 0, 6, 9), Span(TOPIC, 1, 0, 3)]
    assert (ledger.expired_ranges(9), ledger.expired_ranges(2)) == (ranges, ranges[:2])
