"""Predictions and the decision on them."""

import numpy as np
import pytest

from inference.labelling.decide import Decided, decide, label_for, predictions_of
from inference.models import Output
from schemas.coordinates import Coordinates
from schemas.records import Decision, Encoding, Frame, ModelRef, Origin, Prediction, Quality, SourceKind

SOUND = Quality(500.0, 120.0, 50.0)
CLASSES = (("0", "tench"), ("1", "goldfish"), ("2", "great white shark"))


def predictions(best: float) -> tuple[Prediction, ...]:
    return (Prediction("1", "goldfish", best), Prediction("0", "tench", 0.01))


def test_rows_become_named_predictions_in_their_order() -> None:
    output = Output(np.array([[2, 0], [1, 2]], np.int32), np.array([[0.75, 0.25], [0.5, 0.125]], np.float32))
    first, second = predictions_of(output, CLASSES)
    assert first == (Prediction("2", "great white shark", 0.75), Prediction("0", "tench", 0.25))
    assert second[0] == Prediction("1", "goldfish", 0.5)


@pytest.mark.parametrize(
    ("best", "flags", "expected"),
    [
        (0.35, (), (Decision.ACCEPTED, None)),  # the limit itself is enough
        (0.3499, (), (Decision.REVIEW, "low_confidence")),
        (float("nan"), (), (Decision.REVIEW, "low_confidence")),
        (0.99, ("dark",), (Decision.REVIEW, "quality:dark")),
        (0.99, ("dark", "flat"), (Decision.REVIEW, "quality:flat")),
        (0.1, ("small", "damaged"), (Decision.REVIEW, "quality:damaged")),
        (0.99, ("blurred", "bright", "small"), (Decision.ACCEPTED, None)),
    ],
)
def test_decision_and_reason(best: float, flags: tuple[str, ...], expected: tuple[Decision, str | None]) -> None:
    decided = decide(predictions(best), Quality(1.0, 1.0, 1.0, flags), 0.35)
    assert (decided.decision, decided.reason) == expected
    assert decided.score == pytest.approx(best, nan_ok=True)
    assert (decided.threshold, decided.score_kind) == (0.35, "probability")


def test_no_prediction_is_for_review() -> None:
    assert decide((), SOUND, 0.0) == Decided(Decision.REVIEW, "low_confidence", None, 0.0)


def test_a_label_is_its_frame_s() -> None:
    frame = Frame("cam/1/7", "cam", SourceKind.CAMERA, 1, 7, 1000, 1001, Encoding.JPEG, b"")
    label = label_for(
        frame,
        Coordinates("frames.raw", 3, 42),
        predictions(0.9),
        SOUND,
        model=ModelRef("null", "1", "none"),
        origin=Origin.CACHE_EXACT,
        labelled_at=2000,
        min_probability=0.95,
        replay_id="again",
        replay_of=Coordinates("frames.raw", 1, 7),
    )
    assert (label.frame_id, label.source_id, label.captured_at, label.labelled_at) == ("cam/1/7", "cam", 1000, 2000)
    assert (label.decision, label.reason) == (Decision.REVIEW, "low_confidence")
    assert (label.origin, label.source.offset, label.replay_id) == (Origin.CACHE_EXACT, 42, "again")
    assert (label.score, label.threshold, label.score_kind) == (0.9, 0.95, "probability")
    assert (label.revision, label.replay_of, label.detections) == (0, Coordinates("frames.raw", 1, 7), ())
