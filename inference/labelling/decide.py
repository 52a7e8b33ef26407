"""From the output of a model to a label: the predictions, and whether they are accepted. Pure; settings are arguments.

A cache hit goes through here as well, so that a change of settings applies to predictions made before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from inference.models.base import Output
from schemas.coordinates import Coordinates
from schemas.records import Decision, Label, Micros, ModelRef, Origin, Prediction, Quality

LOW_CONFIDENCE = "low_confidence"
# The kind of score that is compared with the threshold: the probability of the best prediction.
PROBABILITY = "probability"
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


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, and what it was made of. `score` is None without a prediction; a flag of the quality overrules it."""

    decision: Decision
    reason: str | None
    score: float | None
    threshold: float
    score_kind: str = PROBABILITY


def decide(predictions: Sequence[Prediction], quality: Quality, min_probability: float) -> Decided:
    """REVIEW and the reason, `quality:<flag>` or `low_confidence`; else ACCEPTED and None."""
    score = predictions[0].probability if predictions else None
    for flag in REVIEW_FLAGS:
        if flag in quality.flags:
            return Decided(Decision.REVIEW, f"quality:{flag}", score, min_probability)
    # `not >=` rather than `<`: a NaN is not accepted either
    if score is None or not score >= min_probability:
        return Decided(Decision.REVIEW, LOW_CONFIDENCE, score, min_probability)
    return Decided(Decision.ACCEPTED, None, score, min_probability)


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
    replay_of: Coordinates | None = None,
) -> Label:
    """The label of one frame; `source` are the coordinates of the frame's record."""
    decided = decide(predictions, quality, min_probability)
    return Label(
        frame_id=item.frame_id,
        source_id=item.source_id,
        captured_at=item.captured_at,
        labelled_at=labelled_at,
        decision=decided.decision,
        reason=decided.reason,
        predictions=predictions,
        origin=origin,
        model=model,
        quality=quality,
        source=source,
        replay_id=replay_id,
        score=decided.score,
        threshold=decided.threshold,
        score_kind=decided.score_kind,
        replay_of=replay_of,
    )
