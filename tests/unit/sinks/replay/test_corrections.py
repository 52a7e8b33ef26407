"""Which labels are promoted, and what they become."""

from collections.abc import Collection
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.topics import TopicNames
from infra.replay.diff import diff
from infra.replay.result import Diff
from infra.replay.table import LabelTable, Names, place_of
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.headers import replay_id_of
from schemas.records import Decision, Label, Prediction
from sinks.replay.corrections import choose, correction_of, records_of, spans_of
from sinks.replay.promote import Promotion
from sinks.replay.text import promotion_json, promotion_text
from tests.support.sink_records import a_label

NAMES = TopicNames.for_lane("")


def compared(*answers: tuple[str, str | None, str | None], overruled: Collection[int] = ()) -> Diff:
    """For each frame the live class, the class promoted from this replay before if any, and the class of the replay.

    `overruled`: the frames that another replay has corrected since, to a class of its own.
    """
    names = Names()
    live, replay = LabelTable(names, replay_id="r1"), LabelTable(names)
    for offset, (first, promoted, answer) in enumerate(answers):
        place = Coordinates("frames.raw", 0, offset)

        def label(class_id: str, place: Coordinates = place, **changes: object) -> Label:
            return a_label(place, predictions=(Prediction(class_id, class_id, 0.9),), **changes)

        live.label(label(first), place, place)
        if promoted is not None:
            live.label(label(promoted, replay_id="r1", revision=5), place, place)
        if offset in overruled:
            live.label(label("other", replay_id="r2", revision=9), place, place)
        if answer is None:
            replay.dead_letter(place, "dock-1/1/1", "dock-1", place)
        else:
            replay.label(label(answer), place, place)
    return diff("r1", live.rows(), replay.rows(), names)


def test_changed_labels_are_chosen_and_what_was_promoted_is_left_out() -> None:
    found = compared(("x", None, "x"), ("x", None, "y"), ("x", "y", "y"), ("x", "z", "y"), ("x", None, None))
    choice = choose(found)
    assert [place_of("frames.raw", row["place"]).offset for row in choice.rows] == [1]
    assert (choice.dead, found.promoted) == (1, 2)


def test_what_another_replay_has_corrected_since_is_left_alone() -> None:
    answers = ("x", "y", "y"), ("x", "y", "y"), ("y", None, "y"), ("x", None, "y")
    found = compared(*answers, overruled=(1, 2))
    assert (found.changed, found.promoted, found.promoted_since, found.newest_revision) == (3, 2, 5, 9)
    choice = choose(found)
    assert [place_of("frames.raw", row["place"]).offset for row in choice.rows] == [3], "the first run was broken off"
    assert choice.overruled == 1, "frame 2; frame 1 was promoted before"
    first_time = compared(("x", None, "y"), overruled=(0,))
    assert len(choose(first_time).rows) == 1, "a replay that was never promoted corrects what another one did"


def test_a_correction_has_the_place_of_the_original_and_a_revision() -> None:
    original = Coordinates("frames.raw", 3, 17)
    label = a_label(Coordinates("frames.replay", 3, 2), replay_of=original, replay_id="r1", decision=Decision.REVIEW)
    made = correction_of(label, 1_764_000_000_000)
    assert made == replace(label, source=original, replay_of=None, revision=1_764_000_000_000)
    records = records_of(made, NAMES, None)
    assert [(record.topic, record.key, record.partition) for record in records] == [
        ("labels", "dock-1", -1),
        ("labels.review", "dock-1", -1),
    ]
    assert all(codec.decode(Label, record.value) == made for record in records)
    assert [replay_id_of(record.headers) for record in records] == ["r1", "r1"]
    assert [record.topic for record in records_of(replace(made, decision=Decision.ACCEPTED), NAMES, None)] == ["labels"]
    with pytest.raises(ValueError, match="which frame"):
        correction_of(a_label(), 1)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9_000)), unique=True, max_size=30))
def test_the_ranges_to_read_hold_every_label_and_do_not_overlap(places: list[tuple[int, int]]) -> None:
    table = LabelTable(Names())
    for number, (partition, offset) in enumerate(places):
        table.label(a_label(), Coordinates("frames.raw", 0, number), Coordinates("labels.replay", partition, offset))
    spans = spans_of("labels.replay", table.rows())
    held = [(span.partition, offset) for span in spans for offset in range(span.start, span.end)]
    assert set(places) <= set(held)
    assert len(held) == len(set(held))


def test_people_read_what_would_be_done_and_what_was() -> None:
    result = Promotion("r1", 7, frames=100, changed=9, chosen=5, already=3, dead=1, unanswered=2)
    text = promotion_text(result, execute=False)
    assert text.startswith("would promote 5 changed labels of replay r1 as corrections (9 of 100 frames changed)")
    assert text.endswith("nothing was written: add --execute to do it")
    result.promoted, result.review = 5, 2
    done = promotion_text(result, execute=True)
    for part in ("promoted 5 of 5", "2 of them are for review", "left out 3", "left alone 1", "2 frames of the replay"):
        assert part in done
    assert promotion_json(result, execute=True)["promoted"] == 5
