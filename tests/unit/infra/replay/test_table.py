"""The table of answers keeps, per frame, the one that counts, whatever comes in what order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.replay import table as tables
from infra.replay.table import ROW, LabelTable, Names, Outcome, among, matched, one_in, place_number, place_of
from schemas.coordinates import Coordinates
from schemas.records import Decision, Prediction
from tests.support.sink_records import a_label

AT = Coordinates("labels", 0, 0)


def frame(offset: int, partition: int = 0) -> Coordinates:
    return Coordinates("frames.raw", partition, offset)


def filled(*labels: tuple[Coordinates, str, int, str], replay_id: str | None = None, since_ms: int = 0) -> LabelTable:
    """(frame, frame id, revision, class id) each; the class DEAD is a dead letter."""
    table = LabelTable(Names(), replay_id=replay_id, since_ms=since_ms)
    for number, (place, frame_id, revision, class_id) in enumerate(labels):
        at = Coordinates("labels", 0, number)
        if class_id == "DEAD":
            table.dead_letter(place, frame_id, "dock-1", at)
        else:
            label = a_label(
                place, frame_id=frame_id, revision=revision, predictions=(Prediction(class_id, class_id, 0.5),),
                replay_id="r1" if revision else None,
            )  # fmt: skip
            table.label(label, place, at)
    return table


def test_the_highest_revision_counts_and_of_equal_ones_the_first() -> None:
    rows = filled((frame(1), "a", 0, "x"), (frame(1), "a", 7, "y"), (frame(1), "a", 5, "z"), (frame(1), "a", 7, "w"))
    assert [int(offset) for offset in rows.rows()["offset"]] == [1]
    first = filled((frame(1), "a", 0, "x"), (frame(1), "a", 0, "y")).rows()
    assert [int(offset) for offset in first["offset"]] == [0]


def test_a_label_counts_more_than_a_dead_letter_whichever_came_first() -> None:
    for order in (("DEAD", "x"), ("x", "DEAD")):
        rows = filled(*((frame(3), "a", 0, class_id) for class_id in order)).rows()
        assert [int(outcome) for outcome in rows["outcome"]] == [Outcome.ACCEPTED]


def test_frames_of_the_same_place_and_another_id_are_apart() -> None:
    """A topic that was made again starts at 0."""
    assert len(filled((frame(1), "a", 0, "x"), (frame(1), "b", 0, "x")).rows()) == 2


def test_what_was_promoted_from_this_replay_is_marked_also_under_a_later_correction() -> None:
    labels = [(frame(1), "a", 0, "x"), (frame(1), "a", 5, "y"), (frame(2), "b", 0, "x")]
    assert list(filled(*labels, replay_id="r1").rows()["promoted"]) == [True, False]
    assert list(filled(*labels, replay_id="r2").rows()["promoted"]) == [False, False]
    later = filled((frame(1), "a", 5, "y"), (frame(2), "b", 7, "y"), replay_id="r1", since_ms=6).rows()
    assert list(later["promoted"]) == [False, True], "a deleted replay of that name promoted the first"


def test_a_place_is_a_number_and_back() -> None:
    for place in (frame(0), frame(2**44 - 1, 2**19 - 1), frame(7, 3)):
        assert place_of("frames.raw", place_number(place)) == place
    table = filled((frame(2**44), "a", 0, "x"), (frame(0, 2**19), "a", 0, "x"))
    assert len(table.rows()) == 0


def test_memory_is_bounded_by_the_frames_and_not_by_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 16)
    table, largest = LabelTable(Names()), 0
    for number in range(4_000):
        label = a_label(frame(number % 10), frame_id="a", predictions=())
        table.label(label, label.source, AT)
        largest = max(largest, table._waiting + len(table._rows))
    assert largest <= 10 + 6 * 16
    assert len(table.rows()) == 10
    assert ROW.itemsize == 54


def test_names_are_bounded_and_comparing_does_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_NAMES", 2)
    names = Names()
    numbers = [names.source(f"camera-{number}") for number in range(4)]
    assert [names.source_of(number) for number in numbers[:2]] == ["camera-0", "camera-1"]
    assert names.source_of(numbers[3]).startswith("(source ")
    assert len(set(numbers)) == 4


@given(st.lists(st.integers(0, 2**60), max_size=50), st.integers(1, 9))
def test_the_parts_of_a_replay_make_up_all_of_it(places: list[int], count: int) -> None:
    asked = np.array(places, np.int64)
    masks = np.stack([one_in(count, part)(asked) for part in range(count)])
    assert list(masks.sum(axis=0)) == [1] * len(places)


@given(st.lists(st.integers(0, 20), max_size=20), st.lists(st.integers(0, 20), max_size=20))
def test_among_is_membership(places: list[int], asked: list[int]) -> None:
    keep = among(np.unique(np.array(places, np.int64)))
    assert list(keep(np.array(asked, np.int64))) == [one in places for one in asked]


KEYS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.sampled_from("ab")), max_size=30)


@given(KEYS, KEYS)
def test_matching_is_that_of_two_dictionaries(
    left: list[tuple[int, int, str]], right: list[tuple[int, int, str]]
) -> None:
    def rows(keys: list[tuple[int, int, str]]) -> tables.Rows:
        return filled(*((frame(offset, partition), frame_id, 0, "x") for partition, offset, frame_id in keys)).rows()

    ours, theirs = rows(left), rows(right)
    before, after, left_alone, right_alone = matched(ours, theirs)
    assert (before["place"] == after["place"]).all() and (before["frame"] == after["frame"]).all()
    assert len(before) == len(set(left) & set(right))
    assert (int(left_alone.sum()), int(right_alone.sum())) == (
        len(set(left) - set(right)),
        len(set(right) - set(left)),
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40))
def test_the_row_that_counts_is_that_of_a_plain_search(revisions: list[tuple[int, int]]) -> None:
    labels = [(frame(offset), "a", revision, "x") for offset, revision in revisions]
    found = {place_of("frames.raw", row["place"]).offset: int(row["offset"]) for row in filled(*labels).rows()}
    plain: dict[int, tuple[int, int]] = {}
    for number, (offset, revision) in enumerate(revisions):
        if offset not in plain or revision > plain[offset][0]:
            plain[offset] = revision, number
    assert found == {offset: number for offset, (_, number) in plain.items()}


def test_a_decision_is_kept() -> None:
    table = LabelTable(Names())
    label = a_label(frame(0), decision=Decision.REVIEW)
    table.label(label, label.source, AT)
    assert int(table.rows()["outcome"][0]) == Outcome.REVIEW
