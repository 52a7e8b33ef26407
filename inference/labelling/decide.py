"""From the model's numbers to a label: predictions, and whether to accept them. Pure; settings are arguments.

A cache hit goes through here as well, so that a change of settings applies to labels that were computed before it.
"""

from collections.abc import Sequence
from typing import Protocol

from inference.models.base import Output
from schemas.coordinates import Coordinates
from schemas.records import Decision, Label, Micros, ModelRef, Origin, Prediction, Quality

LOW_CONFIDENCE = "low_confidence"
# Flags of inference/image/quality.py under which a label says more about the classifier than about the scene, the more
# telling first. A blurred, bright or small picture can still show what it shows: there the probability decides.
UNBELIEVABLE_FLAGS = ("damaged", "grey_smear", "flat", "dark")


class Identified(Protocol):
    """What a label takes over from its frame; Frame and BatchItem both have it."""

    @property
    def frame_id(self) -> str: ...

    @property
    def source_id(self) -> str: ...

    @property
    def captured_at(self) -> Micros: ...


def predictions_of(output: Output, classes: Sequence[tuple[str, str]]) -> list[tuple[Prediction, ...]]:
    """Per image of the batch its predictions, best first."""
    indices: list[list[int]] = output.class_index.tolist()
    probabilities: list[list[float]] = output.probability.tolist()
    return [_predictions(*row, classes) for row in zip(indices, probabilities, strict=True)]


def _predictions(
    indices: list[int], probabilities: list[float], classes: Sequence[tuple[str, str]]
) -> tuple[Prediction, ...]:
    pairs = zip([classes[index] for index in indices], probabilities, strict=True)
    return tuple(Prediction(class_id, name, probability) for (class_id, name), probability in pairs)


def decide(predictions: Sequence[Prediction], quality: Quality, min_probability: float) -> tuple[Decision, str | None]:
    """REVIEW with its reason, `quality:<flag>` or `low_confidence`; else ACCEPTED and None."""
    for flag in UNBELIEVABLE_FLAGS:
        if flag in quality.flags:
            return Decision.REVIEW, f"quality:{flag}"
    # not `<`: a probability that is no number is not to be believed either
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
    """The label of one frame; `source` is where the frame lies."""
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
