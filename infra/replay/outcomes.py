"""Reads the outcomes of one replay's frames, on the replay lane: labels, and dead letters."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from infra.failures.dead_letters import frame_id_of
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.schema_registry import registry_of
from infra.kafka.spans import Span
from infra.kafka.topics import TopicNames
from infra.settings import Settings
from schemas import codec
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame
from schemas.headers import read_failure, redriven_letter, replay_id_of, replay_of
from schemas.records import Label, Micros
from schemas.replays import ReplayProgress

# The two runs of the A/A sample are replays of these names.
NOISE_SUFFIXES = (".a", ".b")
# Machines' clocks differ: an answer can seem to be older than its frame.
MARGIN_US: Micros = 10 * 60 * 1_000_000


@dataclass(frozen=True, slots=True)
class LaneOutcome:
    """One label, or a dead letter where `label` is None. `lane`: the place of its frame on the lane; `frame`: the place
    of the frame that it repeats; `at`: the place of its own record.
    """

    replay_id: str
    lane: Coordinates
    frame: Coordinates
    frame_id: str
    source_id: str
    at: Coordinates
    label: Label | None


class LaneOutcomes:
    """Each `read` goes on where the last one ended. Records of other replays cost a look at their headers."""

    def __init__(self, settings: Settings, reader: Reader) -> None:
        self._reader, self._registry = reader, registry_of(settings)
        self._names = TopicNames.for_lane(settings.topic_prefix, "replay")
        self._next: dict[TopicPartition, int] = {}
        self.undecodable = 0

    def read(self, progress: ReplayProgress, stop: Callable[[], bool] = lambda: False) -> Iterator[LaneOutcome]:
        """The outcomes written since the last call, of frames within the replay's part of the lane."""
        own_ids = {progress.replay_id, *(progress.replay_id + suffix for suffix in NOISE_SUFFIXES)}
        spans = self._spans(progress.started_at - MARGIN_US)
        for record in self._reader.read(spans, stop):
            replay_id = replay_id_of(record.headers)
            if replay_id not in own_ids:
                continue
            outcome = self._dead(record, replay_id) if record.topic == self._names.dead else self._label(record)
            if outcome is not None and outcome.replay_id in own_ids and _is_within(outcome.lane, progress):
                yield outcome
        self._next.update((span.topic_partition, span.end) for span in spans)

    def _spans(self, since_us: Micros) -> list[Span]:
        found = []
        for topic in (self._names.labels, self._names.dead):
            for span in self._reader.spans(topic, since_us):
                start = self._next.get(span.topic_partition, span.start)
                found.append(Span(*span.topic_partition, start, span.end))
        return found

    def _label(self, record: ConsumedRecord) -> LaneOutcome | None:
        try:
            label = codec.decode(Label, record.value, self._registry)
        except BadFrame:
            self.undecodable += 1
            return None
        if label.replay_of is None or label.replay_id is None or label.source.topic != self._names.frames:
            return None
        return LaneOutcome(
            label.replay_id, label.source, label.replay_of, label.frame_id, label.source_id, record.coordinates, label
        )

    def _dead(self, record: ConsumedRecord, replay_id: str) -> LaneOutcome | None:
        failure, repeated = read_failure(record.headers), replay_of(record.headers)
        is_mark = redriven_letter(record.headers) is not None
        if failure is None or repeated is None or is_mark or failure.source.topic != self._names.frames:
            return None
        source_id = (record.key or b"").decode(errors="replace")
        frame_id = frame_id_of(record, self._registry)
        return LaneOutcome(replay_id, failure.source, repeated, frame_id, source_id, record.coordinates, None)


def _is_within(place: Coordinates, progress: ReplayProgress) -> bool:
    return any(
        place.partition == part.partition and part.from_offset <= place.offset < part.to_offset
        for part in progress.lane
    )
