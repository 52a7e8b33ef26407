"""The comparison against tables that were counted by hand."""

import json
from typing import Any

import pytest

from infra.replay.diff import MAX_EXAMPLES, diff
from infra.replay.intervals import newcombe
from infra.replay.result import Diff, Moved, Noise, Pair
from infra.replay.table import LabelTable, Names
from schemas.coordinates import Coordinates
from schemas.records import Decision, Prediction
from tests.support.sink_records import a_label

NAMES = {"1": "cat", "2": "dog", "3": "fox"}


class Sides:
    """Both sides of a comparison, and the two runs of an A/A sample."""

    def __init__(self) -> None:
        self.names = Names()
        self.live, self.replay, self.first, self.second = (LabelTable(self.names) for _ in range(4))

    def put(self, table: LabelTable, offset: int, class_id: str | None, probability: float = 0.5, **more: Any) -> None:
        """None as the class: a dead letter; empty: no prediction. A probability of 0.3 or more is accepted."""
        place, source_id = Coordinates("frames.raw", 0, offset), more.get("source_id", "dock-1")
        at = Coordinates("labels", 0, offset)
        if class_id is None:
            table.dead_letter(place, f"f{offset}", source_id, at)
            return
        best = (Prediction(class_id, NAMES[class_id], probability),) if class_id else ()
        decision = Decision.ACCEPTED if class_id and probability >= 0.3 else Decision.REVIEW
        fields = {"frame_id": f"f{offset}", "predictions": best, "decision": decision, **more}
        table.label(a_label(place, **fields), place, at)

    def both(self, offset: int, live: str | None, replay: str | None, **more: Any) -> None:
        self.put(self.live, offset, live, **more)
        self.put(self.replay, offset, replay, **more)

    def result(self) -> Diff:
        noise = self.first.rows(), self.second.rows()
        return diff("r1", self.live.rows(), self.replay.rows(), self.names, noise)


@pytest.fixture
def sides() -> Sides:
    return Sides()


def test_a_table_counted_by_hand(sides: Sides) -> None:
    for offset in range(4):
        sides.both(offset, "1", "1", source_id="yard")  # same
    for offset in range(4, 7):
        sides.both(offset, "1", "2", source_id="yard")  # cat -> dog, 3 times
    sides.both(7, "3", "2", source_id="gate")  # fox -> dog
    sides.both(8, "2", None, source_id="gate")  # dog -> dead letter
    sides.both(9, None, None, source_id="gate")  # dead on both sides: not compared
    sides.put(sides.live, 10, "1", 0.9)
    sides.put(sides.replay, 10, "1", 0.2)  # the same class, for review now
    sides.put(sides.live, 11, "1")  # no outcome on the replay's side
    sides.put(sides.replay, 12, "1")  # no live outcome
    sides.put(sides.replay, 13, None)
    for offset in range(10):
        sides.put(sides.first, offset, "1")
        sides.put(sides.second, offset, "2" if offset == 3 else "1")

    found = sides.result()
    assert (found.frames, found.same, found.changed) == (10, 4, 6)
    assert (found.changed_class, found.changed_decision, found.changed_outcome) == (4, 1, 1)
    assert found.noise == Noise(1, 10)
    assert found.share_beyond_noise == pytest.approx(0.5)
    assert found.changed_beyond_noise == 5
    assert found.interval == newcombe(6, 10, 1, 10)
    assert found.pairs == [
        Pair("1", "cat", "2", "dog", 3),
        Pair("2", "dog", None, "(dead letter)", 1),
        Pair("3", "fox", "2", "dog", 1),
    ]
    assert found.cameras == [Moved("yard", 3, 7), Moved("gate", 2, 2), Moved("dock-1", 1, 1)]
    assert found.cameras_moved == 3
    assert found.decisions == [("ACCEPTED", "REVIEW", 1), ("ACCEPTED", "DEAD", 1)]
    assert (found.live.accepted, found.live.review, found.live.dead) == (10, 0, 0)
    assert (found.replay.accepted, found.replay.review, found.replay.dead) == (8, 1, 1)
    assert (found.live.lone, found.live.lone_dead) == (1, 0)
    assert (found.replay.lone, found.replay.lone_dead) == (1, 1)
    assert found.shift == pytest.approx(-0.7 / 5)
    assert sorted(found.shown) == list(range(6))


def test_the_json_is_the_contract(sides: Sides) -> None:
    sides.both(0, "1", "2")
    sides.both(1, "1", "1")
    told = json.loads(json.dumps(sides.result().as_json()))
    wanted = {
        "replay_id": "r1", "frames": 2, "same": 1, "changed": 1, "noise": {"changed": 0, "of": 0},
        "changed_beyond_noise": 1, "cameras": [{"source_id": "dock-1", "changed": 1, "of": 2}],
    }  # fmt: skip
    assert {name: told[name] for name in wanted} == wanted
    assert told["pairs"] == [{"from": "1", "to": "2", "count": 1, "from_name": "cat", "to_name": "dog"}]
    assert told["beyond_noise"]["method"] == "wilson"


def test_a_class_of_the_same_id_and_another_name_is_another_class(sides: Sides) -> None:
    """Two models may number other classes with the same ids: agreement by id alone would be false."""
    sides.put(sides.live, 0, "1", predictions=(Prediction("1", "cat", 0.9),))
    sides.put(sides.replay, 0, "1", predictions=(Prediction("1", "lorry", 0.9),))
    assert sides.result().changed_class == 1


def test_a_label_without_a_prediction_is_an_answer_too(sides: Sides) -> None:
    sides.both(0, "", "")
    sides.both(1, "", "2")
    found = sides.result()
    assert (found.frames, found.changed) == (2, 1)
    assert found.pairs == [Pair(None, "(no prediction)", "2", "dog", 1)]


def test_as_much_noise_as_change_leaves_nothing_beyond_it(sides: Sides) -> None:
    for offset in range(100):
        changed = "2" if offset < 3 else "1"
        sides.both(offset, "1", changed)
        sides.put(sides.first, offset, "1")
        sides.put(sides.second, offset, "2" if 50 <= offset < 54 else "1")
    found = sides.result()
    assert (found.changed_beyond_noise, found.share_beyond_noise) == (0, 0.0)
    low, high = found.interval
    assert low < 0 < high


def test_nothing_to_compare_is_no_error(sides: Sides) -> None:
    found = sides.result()
    assert (found.frames, found.changed, found.changed_beyond_noise, found.pairs) == (0, 0, 0, [])
    assert json.dumps(found.as_json())


def test_examples_are_of_many_kinds_and_the_surest_of_each_first(sides: Sides) -> None:
    for offset in range(50):
        sides.both(offset, "1", "2", probability=0.5 + offset / 100)
    sides.both(50, "3", "1")
    found = sides.result()
    assert len(found.shown) == MAX_EXAMPLES
    offsets = [int(found.changes[0][index]["offset"]) for index in found.shown]
    assert offsets[:3] == [49, 50, 48]
