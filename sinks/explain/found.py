"""What the records on the topics say of one frame. Pure."""

from dataclasses import dataclass, field
from typing import TypeVar

from infra.kafka.records import ConsumedRecord
from infra.kafka.topics import TopicNames
from schemas import codec
from schemas.codec import Registry
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame
from schemas.headers import Failure, read_failure, redriven_letter
from schemas.records import Frame, Label


@dataclass(frozen=True, slots=True)
class FrameFound:
    """The frame's own record. `frame` is None where it is no Frame of ours, and `record` where it is gone.

    `log_start`: the first offset that its partition still has.
    """

    place: Coordinates
    record: ConsumedRecord | None = None
    frame: Frame | None = None
    fault: str = ""
    log_start: int = 0


@dataclass(frozen=True, slots=True)
class LabelFound:
    """`at` and `written_ms`: the place and the time of the label's record."""

    label: Label
    at: Coordinates
    written_ms: int


@dataclass(slots=True)
class FailureFound:
    """A dead letter, or an attempt that follows."""

    failure: Failure
    at: Coordinates
    written_ms: int
    redriven: bool = False


@dataclass(frozen=True, slots=True)
class BatchFound:
    """The micro-batch of the frame, and which of its frames it is, from 0 on."""

    batch_id: str
    at: Coordinates
    written_ms: int
    index: int
    frames: int
    width: int
    height: int
    encoding: str


@dataclass(frozen=True, slots=True)
class Positions:
    """Committed offsets of the stages; a partition without one is missing. `unknown`: by group, why it is not known."""

    committed: dict[TopicPartition, int] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)

    def before(self, group: str, at: Coordinates, start: int = 0) -> int | None:
        """How many offsets the group has to finish before that record; None where it has finished it, or who knows.

        `start`: the first offset that there is.
        """
        before = at.offset - max(start, self.committed.get(at.topic_partition, 0))
        return None if group in self.unknown or before < 0 else before


FoundT = TypeVar("FoundT", LabelFound, FailureFound)


@dataclass(slots=True)
class Findings:
    """Everything that was found, each in the order of its topic.

    `corrections`: labels that were promoted from `replays`. `others`: outcomes of another frame at these coordinates,
    of a topic that was made again. `undecodable`: records on the topics of labels that could not be read.
    """

    labels: list[LabelFound] = field(default_factory=list)
    corrections: list[LabelFound] = field(default_factory=list)
    replays: list[LabelFound] = field(default_factory=list)
    retries: list[FailureFound] = field(default_factory=list)
    dead: list[FailureFound] = field(default_factory=list)
    others: list[Coordinates] = field(default_factory=list)
    undecodable: int = 0
    seen: set[Coordinates] = field(default_factory=set)

    @property
    def valid(self) -> LabelFound | None:
        """The label that counts: that of the highest revision, else the last one. None where there is none."""
        if self.corrections:
            return max(self.corrections, key=lambda found: found.label.revision)
        return self.labels[-1] if self.labels else None

    @property
    def has_outcome(self) -> bool:
        return bool(self.labels or self.dead)

    @property
    def newest_ms(self) -> int:
        """When the last outcome was written; 0 where there is none."""
        written = [each.written_ms for each in self.labels] + [each.written_ms for each in self.dead]
        return max(written, default=0)


class Matcher:
    """Sorts records into the findings of the frame at `place`; `frame_id` and `key` where they are known."""

    def __init__(
        self, place: Coordinates, frame: FrameFound, names: TopicNames, replay: TopicNames, registry: Registry | None
    ) -> None:
        self._place, self._names, self._replay, self._registry = place, names, replay, registry
        self._frame_id = None if frame.frame is None else frame.frame.frame_id
        self._place_bytes = codec.place_bytes(place)
        self.findings = Findings()

    def take(self, record: ConsumedRecord) -> None:
        if record.coordinates in self.findings.seen:
            return
        if record.topic in (self._names.labels, self._replay.labels):
            self._label(record)
        else:
            self._failure(record)

    def _label(self, record: ConsumedRecord) -> None:
        if record.value is None or self._place_bytes not in record.value:
            return
        try:
            label = codec.decode(Label, record.value, self._registry)
        except BadFrame:
            self.findings.seen.add(record.coordinates)
            self.findings.undecodable += 1
            return
        found = LabelFound(label, record.coordinates, record.timestamp_ms)
        if record.topic == self._names.labels and label.source == self._place:
            if self._frame_id not in (None, label.frame_id):
                self._add_other(record)
                return
            self._add(self.findings.corrections if label.revision > 0 else self.findings.labels, found)
        elif label.replay_of == self._place and self._frame_id in (None, label.frame_id):
            self._add(self.findings.replays, found)

    def _failure(self, record: ConsumedRecord) -> None:
        failure = read_failure(record.headers)
        if failure is None or failure.source != self._place:
            return
        if (mark := redriven_letter(record.headers)) is not None:
            for letter in self.findings.dead:
                letter.redriven = letter.redriven or (letter.at.partition, letter.at.offset) == mark
            return
        if self._frame_id is not None and _other_id(record, self._frame_id, self._registry):
            self._add_other(record)
            return
        found = FailureFound(failure, record.coordinates, record.timestamp_ms)
        self._add(self.findings.retries if record.topic == self._names.retry else self.findings.dead, found)

    def _add_other(self, record: ConsumedRecord) -> None:
        self.findings.seen.add(record.coordinates)
        self.findings.others.append(record.coordinates)

    def _add(self, to: list[FoundT], found: FoundT) -> None:
        self.findings.seen.add(found.at)
        to.append(found)


def _other_id(record: ConsumedRecord, frame_id: str, registry: Registry | None) -> bool:
    """Whether the record holds another frame; bytes that are none tell nothing."""
    try:
        return codec.decode(Frame, record.value, registry).frame_id != frame_id
    except BadFrame:
        return False


def place_told(
    record: ConsumedRecord, names: TopicNames, frame_id: str, registry: Registry | None
) -> Coordinates | None:
    """The coordinates of the frame of that id, where this record (of any topic of the pipeline) tells them."""
    if record.value is None or frame_id.encode() not in record.value:
        return None
    try:
        if record.topic == names.labels:
            label = codec.decode(Label, record.value, registry)
            return label.source if label.frame_id == frame_id else None
        if codec.decode(Frame, record.value, registry).frame_id != frame_id:
            return None
    except BadFrame:
        return None
    failure = read_failure(record.headers)
    return record.coordinates if record.topic == names.frames or failure is None else failure.source
