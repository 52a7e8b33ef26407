"""What a comparison of a replay with the live labels found, and the object that `replay diff --json` prints. Pure."""

from dataclasses import dataclass, field
from typing import Any

from infra.replay.intervals import LEVEL, newcombe, wilson
from infra.replay.table import Rows
from schemas.coordinates import Coordinates
from schemas.records import Micros, micros_to_iso


@dataclass(frozen=True, slots=True)
class Noise:
    """Of `of` frames that the replay ran twice, how many changed. `of` 0: the noise is not known."""

    changed: int = 0
    of: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """How many frames went from one class to another. An id is None where that side has no class; the name says why."""

    from_id: str | None
    from_name: str
    to_id: str | None
    to_name: str
    count: int


@dataclass(frozen=True, slots=True)
class Moved:
    """How many frames of a source changed."""

    source_id: str
    changed: int
    of: int


@dataclass(frozen=True, slots=True)
class Side:
    """What one side says of the compared frames; `lone`: frames with a label, `lone_dead`: with a dead letter, that
    have no outcome on the other side. `histogram`: labels by probability of the best class, in steps of 0.1.
    """

    accepted: int
    review: int
    dead: int
    lone: int
    lone_dead: int
    confidence: float | None
    histogram: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One side's answer in an example; `decision` is ACCEPTED, REVIEW or DEAD."""

    class_id: str | None
    name: str
    probability: float | None
    decision: str
    reason: str | None
    model: str


@dataclass(frozen=True, slots=True)
class Example:
    """One changed frame. `lane`: its place on the replay lane, if that is known."""

    source: Coordinates
    lane: Coordinates | None
    frame_id: str
    source_id: str
    captured_at: Micros
    live: Answer
    replay: Answer


@dataclass(frozen=True, slots=True)
class Diff:
    """The comparison. `changes`: the rows of the changed frames, live and replay; `shown`: which of them to show.

    `shift`: by how much the probability rose on the mean, of frames whose class stayed. `promoted`: frames of which a
    label of this replay was promoted before, for the first time as revision `promoted_since`. `newest_revision`: the
    highest of the live labels. `cameras_moved`, `cameras_count`: the sources with changed frames, and all
    that were compared. `sampled`: one frame in so many was compared. `unanswered`: frames of the replay without an
    outcome on its side.
    """

    replay_id: str
    frames: int
    changed: int
    changed_class: int
    changed_decision: int
    changed_outcome: int
    noise: Noise
    pairs: list[Pair]
    pairs_count: int
    decisions: list[tuple[str, str, int]]
    cameras: list[Moved]
    cameras_moved: int
    cameras_count: int
    live: Side
    replay: Side
    shift: float | None
    changes: tuple[Rows, Rows]
    shown: list[int]
    promoted: int = 0
    promoted_since: int | None = None
    newest_revision: int = 0
    sampled: int = 1
    unanswered: int = 0
    examples: list[Example] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def same(self) -> int:
        return self.frames - self.changed

    @property
    def changed_share(self) -> float:
        return self.changed / self.frames if self.frames else 0.0

    @property
    def share_beyond_noise(self) -> float:
        """The share of frames that changed, without the share of the noise; never less than 0."""
        noise = self.noise.changed / self.noise.of if self.noise.of else 0.0
        return max(0.0, self.changed_share - noise)

    @property
    def changed_beyond_noise(self) -> int:
        """`share_beyond_noise` as a number of frames, rounded."""
        return round(self.share_beyond_noise * self.frames)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the share beyond noise, at 95 %: Newcombe's; Wilson's of the changed share where noise is not known."""
        if not self.frames or not self.noise.of:
            return wilson(self.changed, self.frames)
        return newcombe(self.changed, self.frames, self.noise.changed, self.noise.of)

    def as_json(self) -> dict[str, Any]:
        """The object that `replay diff --json` prints. Its keys are a contract."""
        low, high = self.interval
        return {
            "replay_id": self.replay_id,
            "frames": self.frames,
            "same": self.same,
            "changed": self.changed,
            "noise": {"changed": self.noise.changed, "of": self.noise.of},
            "changed_beyond_noise": self.changed_beyond_noise,
            "beyond_noise": {
                "share": self.share_beyond_noise,
                "low": low,
                "high": high,
                "level": LEVEL,
                "method": "newcombe" if self.noise.of else "wilson",
            },
            "changed_class": self.changed_class,
            "changed_decision": self.changed_decision,
            "changed_outcome": self.changed_outcome,
            "pairs": [_pair_json(pair) for pair in self.pairs],
            "pairs_count": self.pairs_count,
            "decisions": [{"from": before, "to": after, "count": count} for before, after, count in self.decisions],
            "cameras": [{"source_id": each.source_id, "changed": each.changed, "of": each.of} for each in self.cameras],
            "cameras_moved": self.cameras_moved,
            "cameras_count": self.cameras_count,
            "live": _side_json(self.live),
            "replay": _side_json(self.replay),
            "confidence_shift": self.shift,
            "promoted": self.promoted,
            "unanswered": self.unanswered,
            "sampled": self.sampled,
            "examples": [_example_json(example) for example in self.examples],
            "notes": self.notes,
        }


def _pair_json(pair: Pair) -> dict[str, Any]:
    return {
        "from": pair.from_id, "to": pair.to_id, "count": pair.count,
        "from_name": pair.from_name, "to_name": pair.to_name,
    }  # fmt: skip


def _side_json(side: Side) -> dict[str, Any]:
    return {
        "accepted": side.accepted, "review": side.review, "dead": side.dead, "confidence": side.confidence,
        "histogram": list(side.histogram), "only_here": {"labels": side.lone, "dead": side.lone_dead},
    }  # fmt: skip


def _example_json(example: Example) -> dict[str, Any]:
    place = example.source
    return {
        "topic": place.topic, "partition": place.partition, "offset": place.offset,
        "frame_id": example.frame_id, "source_id": example.source_id,
        "captured_at": micros_to_iso(example.captured_at),
        "live": _answer_json(example.live), "replay": _answer_json(example.replay),
    }  # fmt: skip


def _answer_json(answer: Answer) -> dict[str, Any]:
    return {
        "class_id": answer.class_id, "name": answer.name, "probability": answer.probability,
        "decision": answer.decision, "reason": answer.reason, "model": answer.model,
    }  # fmt: skip
