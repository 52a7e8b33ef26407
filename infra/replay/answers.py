"""The answers of a replay against the live ones of the same frames, from the topics. Joins no group, commits nothing.

Memory is bounded: 54 bytes a frame and side are kept, of at most 2,000,000 frames; of a larger replay one frame in so
many is compared, the same on both sides.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from infra.failures.dead_letters import frame_id_of
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.schema_registry import registry_of
from infra.kafka.spans import Span
from infra.kafka.topics import TopicNames
from infra.process.times import now_us
from infra.replay.diff import diff
from infra.replay.examples import read_examples
from infra.replay.outcomes import MARGIN_US, NOISE_SUFFIXES, LaneOutcomes, is_ahead, is_within
from infra.replay.result import Diff
from infra.replay.table import LabelTable, Names, Places, among, one_in, place_number
from infra.settings import Settings
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame, SightlineError
from schemas.headers import read_failure, redriven_letter, replay_id_of
from schemas.records import Label, Micros
from schemas.replays import ReplayProgress

MAX_FRAMES = 2_000_000
# The time behind a range in which its live labels are looked for, widened while frames lack one. Behind that only
# corrections are decoded, which come at any time.
STEPS_US: tuple[Micros, ...] = tuple(minutes * 60_000_000 for minutes in (15, 120, 720, 4_320))


@dataclass(frozen=True, slots=True)
class Counts:
    """How many frames of a replay have an outcome: a label, else a dead letter. `noise`: of the A/A sample, both."""

    labels: int
    dead: int
    noise: int


def labels_of(settings: Settings, progress: ReplayProgress) -> Counts:
    """Counts each frame once, however many outcomes it has. To ask again and again, keep an `AnswerCounter`."""
    with Reader(settings) as reader:
        return AnswerCounter(settings, reader).read(progress)


def compare(settings: Settings, progress: ReplayProgress, stop: Callable[[], bool] = lambda: False) -> Diff:
    """The replay's answers against the live ones that are there now, with examples.

    Raises Unavailable when Kafka does not answer, SightlineError when `stop()` became true.
    """
    with Reader(settings) as reader:
        found = Comparison(settings, reader, progress, stop).result()
    return replace(found, examples=read_examples(settings, found))


def parts_of(progress: ReplayProgress) -> int:
    """Into how many parts of at most 2,000,000 frames, chosen by their coordinates, a replay is divided."""
    return max(1, -(-progress.copied // MAX_FRAMES))


class AnswerCounter:
    """Counts the frames of one replay that have an outcome; each `read` goes on where the last one ended.

    Memory: a byte for each offset between the first and the last that the replay occupies on its lane.
    """

    def __init__(self, settings: Settings, reader: Reader) -> None:
        self._outcomes = LaneOutcomes(settings, reader)
        # By partition of the lane, from the first offset on: 1 dead letter, 2 label; 4 more for the A/A sample.
        self._seen: dict[int, bytearray] = {}
        self._firsts: dict[int, int] = {}
        # Of frames that were copied and answered after the progress was told that `read` was given.
        self._ahead: list[tuple[Coordinates, int]] = []

    def read(self, progress: ReplayProgress) -> Counts:
        for part in sorted(progress.lane, key=lambda part: part.from_offset):
            self._firsts.setdefault(part.partition, part.from_offset)
            self._seen.setdefault(part.partition, bytearray())
        waiting, self._ahead = self._ahead, []
        found = (
            (outcome.lane, 4 * (outcome.replay_id != progress.replay_id) + (1 if outcome.label is None else 2))
            for outcome in self._outcomes.read(progress)
        )
        for place, kind in chain(waiting, found):
            if is_within(place, progress):
                self._mark(place, kind)
            elif is_ahead(place, progress):
                self._ahead.append((place, kind))
        dead, labels, *noise_counts = (sum(seen.count(kind) for seen in self._seen.values()) for kind in (1, 2, 5, 6))
        return Counts(labels, dead, sum(noise_counts))

    def _mark(self, place: Coordinates, kind: int) -> None:
        seen, index = self._seen[place.partition], place.offset - self._firsts[place.partition]
        if index >= len(seen):
            seen.extend(bytes(index + 1 - len(seen)))
        seen[index] = max(seen[index], kind)


class Comparison:
    """Reads both sides, the replay's first: of the live labels only those of its frames are kept."""

    def __init__(
        self, settings: Settings, reader: Reader, progress: ReplayProgress, stop: Callable[[], bool], part: int = 0
    ) -> None:
        """`part`: which of `parts_of(progress)` is compared."""
        self._settings, self._reader, self._progress, self._stop = settings, reader, progress, stop
        self._registry = registry_of(settings)
        self._live = TopicNames.for_lane(settings.topic_prefix)
        self._part, self._parts = part, parts_of(progress)
        self._names = Names()
        self._undecodable = 0

    def result(self) -> Diff:
        """Without examples."""
        main, *noise = self._replay_side()
        replay = main.rows()
        live = self._live_side(np.unique(replay["place"]))
        noise_rows = noise[0].rows(), noise[1].rows()
        found = diff(self._progress.replay_id, live.rows(), replay, self._names, noise_rows, self._parts)
        unanswered = max(0, self._progress.copied - len(replay)) if self._parts == 1 else 0
        return replace(found, unanswered=unanswered, notes=self._notes(found, unanswered))

    def _replay_side(self) -> list[LabelTable]:
        """The main part and the two runs of the A/A sample."""
        keep = one_in(self._parts, self._part) if self._parts > 1 else None
        ids = [self._progress.replay_id + suffix for suffix in ("", *NOISE_SUFFIXES)]
        tables = {replay_id: LabelTable(self._names, keep) for replay_id in ids}
        outcomes = LaneOutcomes(self._settings, self._reader)
        for outcome in outcomes.read(self._progress, self._stop):
            if not is_within(outcome.lane, self._progress):
                continue
            table = tables[outcome.replay_id]
            if outcome.label is not None:
                table.label(outcome.label, outcome.frame, outcome.at)
            else:
                table.dead_letter(outcome.frame, outcome.frame_id, outcome.source_id, outcome.at)
        self._check_stop()
        self._undecodable += outcomes.undecodable
        return list(tables.values())

    def _live_side(self, places: Places) -> LabelTable:
        """The labels of those frames, in growing steps of time; where frames have none, also their dead letters."""
        started_ms = self._progress.started_at // 1000
        live = LabelTable(self._names, among(places), self._progress.replay_id, started_ms)
        lacks_some = True
        for spans in self._steps():
            for record in self._reader.read(spans, self._stop):
                # Only corrections carry a replay id on this topic.
                if lacks_some or replay_id_of(record.headers) is not None:
                    self._take(record, live)
            lacks_some = len(np.unique(live.rows()["place"])) < len(places)
        self._check_stop()
        lacking = np.setdiff1d(places, live.rows()["place"])
        if len(lacking):
            self._take_dead_letters(live, lacking)
        return live

    def _steps(self) -> Iterator[list[Span]]:
        """Ranges of the labels, one step of time behind the other without a gap; the last one ends at the present."""
        topic, now = self._live.labels, now_us()
        starts = {span.partition: span.start for span in self._reader.spans(topic, self._progress.from_at - MARGIN_US)}
        ends_us = [self._progress.to_at + step for step in STEPS_US]
        for end_us in [*(end for end in ends_us if end < now), None]:
            spans = self._reader.spans(topic, end_us)
            ends = {span.partition: span.end if end_us is None else span.start for span in spans}
            yield [Span(topic, partition, starts.get(partition, 0), end) for partition, end in ends.items()]
            starts = ends

    def _take(self, record: ConsumedRecord, live: LabelTable) -> None:
        try:
            label = codec.decode(Label, record.value, self._registry)
        except BadFrame:
            self._undecodable += 1
            return
        if label.source.topic == self._progress.topic:
            live.label(label, label.source, record.coordinates)

    def _take_dead_letters(self, live: LabelTable, lacking: Places) -> None:
        wanted = among(lacking)
        spans = self._reader.spans(self._live.dead, self._progress.from_at - MARGIN_US)
        for record in self._reader.read(spans, self._stop):
            failure = read_failure(record.headers)
            if failure is None or redriven_letter(record.headers) or failure.source.topic != self._progress.topic:
                continue
            if wanted(np.array([place_number(failure.source)], np.int64))[0]:
                source_id = (record.key or b"").decode(errors="replace")
                live.dead_letter(failure.source, frame_id_of(record, self._registry), source_id, record.coordinates)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop():
            raise SightlineError("stopped before all labels were read; nothing was compared")

    def _notes(self, found: Diff, unanswered: int) -> list[str]:
        notes = []
        if not found.frames:
            notes.append("no frame of the replay has an outcome on both sides: there is nothing to compare")
        if unanswered:
            kept_h = self._settings.topics.frames_retention_h
            is_old = now_us() - self._progress.started_at > kept_h * 3_600_000_000
            why = f"any more: the lane keeps labels for {kept_h} h" if is_old else "yet"
            notes.append(f"{unanswered:,} frames of the replay have no outcome on its lane ({why})")
        if self._parts > 1:
            notes.append(f"one frame in {self._parts} was compared, because the replay is so large")
        if lone := found.replay.lone + found.replay.lone_dead:
            notes.append(f"{lone:,} frames of the replay have no live outcome (any more)")
        if found.frames and not found.noise.of:
            notes.append("the noise is not known: no frame of the replay was run twice")
        if self._undecodable:
            notes.append(f"{self._undecodable:,} records on the topics of labels are no labels that can be read")
        return notes
