"""From the output of a model to a label: the predictions, and whether they are accepted. Pure; settings are arguments.

A cache hit goes through here as well, so that a change of settings applies to predictions made before it.
"""

from collections.abc import Sequence
from typing import Protocol

from inference.models.base import Output
from schemas.coordinates import Coordinates
from schemas.records import Decision, Label, Micros, ModelRef, Origin, Prediction, Quality

LOW_CONFIDENCE = "low_confidence"
# The flags of inference/image/quality.py with which no prediction is accepted, the most important first. A blurred,
# bright or small image can still show its object: there the probability decides.
REVIEW_FLAGS = ("damaged", "grey_smear", "flat", "dark")


class Identified(Protocol):
    """The fields that a label takes over from its frame; Frame and BatchItem both have them."""

    @property
    def frame_id(self) -> str: ...

    @property
    def source_id(self) -> str: ...

    @property
    def captured_at(self) -> Micros: ...


def predictions_of(output: Output, classes: Sequence[tuple[str, str]]) -> list[tuple[Prediction, ...]]:
    """The predictions of each image of the batch, best first."""
    indices: list[list[int]] = output.class_index.tolist()
    probabilities: list[list[float]] = output.probability.tolist()
    return [_predictions(*row, classes) for row in zip(indices, probabilities, strict=True)]


def _predictions(
    indices: list[int], probabilities: list[float], classes: Sequence[tuple[str, str]]
) -> tuple[Prediction, ...]:
    pairs = zip([classes[index] for index in indices], probabilities, strict=True)
    return tuple(Prediction(class_id, name, probability) for (class_id, name), probability in pairs)


def decide(predictions: Sequence[Prediction], quality: Quality, min_probability: float) -> tuple[Decision, str | None]:
    """REVIEW and the reason, `quality:<flag>` or `low_confidence`; else ACCEPTED and None."""
    for flag in REVIEW_FLAGS:
        if flag in quality.flags:
            return Decision.REVIEW, f"quality:{flag}"
    # `not >=` rather than `<`: a NaN is not accepted either
    if not predictions or not predictions[0].probability >= min_probability:
        return Decision.REVIEW, LOW_CONFIDENCE
    return Decision.ACCEPTED, None


def label_for(
    item: Identified,
    source: Coordinates,
    predictions: tuple[Prediction, ...],
    quality: Quality,
    *,
    model: ModelRef,
    origin: Origin,
    labelled_at: Micros,
    min_probability: float,
    replay_id: str | None = None,
) -> Label:
    """The label of one frame; `source` are the coordinates of the frame's record."""
    decision, reason = decide(predictions, quality, min_probability)
    return Label(
        frame_id=item.frame_id,
        source_id=item.source_id,
        captured_at=item.captured_at,
        labelled_at=labelled_at,
        decision=decision,
        reason=reason,
        predictions=predictions,
        origin=origin,
        model=model,
        quality=quality,
        source=source,
        replay_id=replay_id,
    )
