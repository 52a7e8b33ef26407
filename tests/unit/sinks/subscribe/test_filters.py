"""Which labels `subscribe` selects, and the content of a line in each format."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from schemas.coordinates import Coordinates
from schemas.label_json import json_line
from schemas.records import Decision, Label, Origin, Prediction
from sinks.base.dedupe import Deduplicator
from sinks.base.label_text import Columns, latency_text
from sinks.subscribe.command import Selection, report
from sinks.subscribe.filters import LabelFilter
from tests.support.sink_records import a_label


@pytest.mark.parametrize(
    ("criteria", "passes"),
    [
        ({}, True),
        ({"source_id": "dock-*"}, True),
        ({"source_id": "DOCK-*"}, False),
        ({"source_id": "dock"}, False),
        ({"class_glob": "espresso"}, True),
        ({"class_glob": "Espresso*"}, True),
        ({"class_glob": "967"}, True),
        ({"class_glob": "96?"}, True),
        ({"class_glob": "coffee mug"}, False),
        ({"min_probability": 0.91}, True),
        ({"min_probability": 0.92}, False),
        ({"decision": Decision.ACCEPTED}, True),
        ({"decision": Decision.REVIEW}, False),
        ({"source_id": "dock-1", "class_glob": "daisy"}, False),
    ],
)
def test_every_criterion_that_is_given_must_hold(criteria: dict[str, Any], passes: bool) -> None:
    assert LabelFilter(**criteria).passes(a_label()) is passes


def test_corrections_are_left_out_unless_asked_for() -> None:
    correction = a_label(replay_id="run-1", revision=1_764_158_400_000)
    assert not LabelFilter().passes(correction)
    assert LabelFilter(corrections=True).passes(correction)
    assert LabelFilter().passes(a_label(replay_id="run-1")), "in the replay lane every label has a replay id"


@pytest.mark.parametrize("glob", ["SKU-42", "sku-*", "Sku-4?"])
def test_a_class_id_is_found_whatever_its_case(glob: str) -> None:
    label = a_label(predictions=(Prediction("SKU-42", "blue box", 0.9),))
    assert LabelFilter(class_glob=glob).passes(label)


@pytest.mark.parametrize("criteria", [{"class_glob": "*"}, {"min_probability": 0.0}])
def test_a_label_without_predictions_has_no_best_class(criteria: dict[str, Any]) -> None:
    assert not LabelFilter(**criteria).passes(a_label(predictions=()))


def test_a_json_line_holds_avros_fields_iso_times_and_the_labels_own_place() -> None:
    label = a_label(Coordinates("frames.raw", 3, 42), captured_at=1_700_000_000_123_456, replay_id="run-1")
    line = json_line(label, "labels", 5, 7)
    fields = json.loads(line)
    assert "\n" not in line
    assert set(fields) == {*Label.__dataclass_fields__, "topic", "partition", "offset"}
    assert (fields["topic"], fields["partition"], fields["offset"]) == ("labels", 5, 7)
    assert fields["captured_at"] == "2023-11-14T22:13:20.123456Z"
    assert fields["source"] == {"topic": "frames.raw", "partition": 3, "offset": 42}
    assert fields["predictions"][0] == {"class_id": "967", "name": "espresso", "probability": 0.91}
    assert (fields["decision"], fields["origin"], fields["replay_id"]) == ("ACCEPTED", "MODEL", "run-1")
    assert fields["quality"]["flags"] == []


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_columns_stay_in_place_whatever_a_label_holds(width: int) -> None:
    columns = Columns(width)
    lines = [
        columns.header(),
        columns.line(a_label()),
        columns.line(a_label(predictions=(), origin=Origin.CACHE_NEAR, decision=Decision.REVIEW)),
        columns.line(
            a_label(source_id="x" * 300, captured_at=0, predictions=(Prediction("1", "a\x1b[31m\n" * 50, 1.0),))
        ),
    ]
    assert len({len(line.plain) for line in lines}) == 1
    assert all("\x1b" not in line.plain and "\n" not in line.plain for line in lines)
    if width >= 80:
        assert len(lines[0].plain) <= width


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0.4, "0 ms"), (87.2, "87 ms"), (2_340, "2.3 s"), (240_000, "4 min"), (3 * 3_600_000, "3 h")],
)
def test_a_latency_is_as_much_as_a_person_takes_in(milliseconds: float, text: str) -> None:
    assert latency_text(milliseconds) == text


def test_a_selection_counts_only_what_passes_and_knows_when_it_is_full() -> None:
    selection = Selection(LabelFilter(class_glob="espresso"), Deduplicator(), limit=2)
    here, there = Coordinates("frames.raw", 0, 1), Coordinates("frames.raw", 0, 2)
    daisy = (Prediction("985", "daisy", 0.9),)
    taken = [
        selection.takes(label)
        for label in (a_label(there, predictions=daisy), a_label(here), a_label(here), a_label(there))
    ]
    assert taken == [False, True, False, True]
    assert selection.is_full()


def test_the_closing_report_tells_of_repeats_and_of_labels_too_old_to_judge(capsys: pytest.CaptureFixture[str]) -> None:
    selection = Selection(LabelFilter(), Deduplicator(window_offsets=8))
    for offset in (0, 8, 8, 0):
        selection.takes(a_label(Coordinates("frames.raw", 0, offset)))
    report(selection)
    assert capsys.readouterr().err.splitlines() == [
        "sightline: 1 repeated labels were left out",
        "sightline: 1 labels were too old for --dedupe to tell whether they are repeats; they were printed",
    ]


def test_the_closing_report_is_empty_when_every_label_was_printed(capsys: pytest.CaptureFixture[str]) -> None:
    selection = Selection(LabelFilter(), Deduplicator())
    assert selection.takes(a_label())
    report(selection)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("captured_at", [1_700_000_000 * 10**9, -(2**63), 253_402_300_799_999_999])
def test_a_label_captured_at_a_time_that_no_calendar_has_is_a_line_all_the_same(captured_at: int) -> None:
    label = a_label(captured_at=captured_at)
    assert json.loads(json_line(label, "labels", 0, 1))["captured_at"]
    assert "espresso" in Columns(120).line(label).plain


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_null_in_json_and_a_line_all_the_same(number: float) -> None:
    label = a_label(predictions=(Prediction("7", "NaN é", number), Prediction("8", "cup", 0.25)))
    first, second = json.loads(json_line(label, "labels", 0, 1), parse_constant=pytest.fail)["predictions"]
    assert (first["name"], first["probability"], second["probability"]) == ("NaN é", None, 0.25)
    assert "NaN" in Columns(100).line(label).plain


def test_nothing_goes_to_a_terminal_that_it_would_obey() -> None:
    evil = "".join(map(chr, range(0x20))) + "".join(map(chr, range(0x80, 0xA0))) + "\u2028"
    label = replace(a_label(predictions=(Prediction(evil, evil, 0.5),)), source_id=evil, frame_id=evil)
    line = json_line(label, "labels", 0, 1)
    assert line.isascii() and line.isprintable()
    assert json.loads(line)["source_id"] == evil
    assert Columns(200).line(label).plain.isprintable()
