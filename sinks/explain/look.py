"""From what was asked for to the life of one frame."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from infra.kafka.clients import admin, metadata_of
from infra.kafka.lookup import RecordLookup
from infra.kafka.reader import Reader
from infra.kafka.rights import missing_topic_rights
from infra.kafka.schema_registry import registry_of
from infra.kafka.spans import Span
from infra.kafka.topics import Lane, TopicNames
from infra.process.times import now_us
from infra.settings import Settings
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame, ConfigError, SightlineError, Unavailable
from schemas.fields import read_coordinates
from schemas.headers import read_failure
from schemas.records import Label, Micros, Origin
from sinks.explain.batches import find_batch
from sinks.explain.found import BatchFound, FrameFound, Matcher
from sinks.explain.later import covering, read_later
from sinks.explain.life import Life
from sinks.explain.positions import read_positions
from sinks.explain.search import MARGIN_US, SearchCut, frame_at, locate, read_outcomes

LANES: tuple[Lane, ...] = ("live", "replay")
HOUR_US: Micros = 3_600_000_000
# Keys of the reader: it reads many short ranges, and a request at the end of a log holds up the one for the next range.
SHORT_READS = {"fetch.wait.max.ms": 10}


@dataclass(frozen=True, slots=True)
class Range:
    """Where to look, where that is said; None is for what suits the frame."""

    from_us: Micros | None
    to_us: Micros | None


class Looker:
    """Looks for one frame. `stop` is asked all the time, and ends the search with what was found until then."""

    def __init__(self, settings: Settings, reader: Reader, lane: Lane, stop: Callable[[], bool]) -> None:
        self._settings, self._reader, self._lane, self._stop = settings, reader, lane, stop
        self._registry = registry_of(settings)
        self._lanes = {lane: TopicNames.for_lane(settings.topic_prefix, lane) for lane in LANES}
        self._notes: list[str] = []

    def place_of(self, asked: str, limits: Range) -> Coordinates:
        """The coordinates of the frame. Raises ConfigError for what names none, SightlineError for one not found."""
        place = self._coordinates(asked)
        if place is None:
            return self._by_id(asked, limits)
        live = self._lanes["live"]
        if place.topic in (live.frames, self._lanes["replay"].frames):
            return place
        if place.topic in (live.labels, live.review, self._lanes["replay"].labels, live.dead, live.retry):
            return self._followed(place)
        raise ConfigError(f"{place.topic} holds no frames: give a place on {live.frames}, or of a label or dead letter")

    def _coordinates(self, asked: str) -> Coordinates | None:
        """The topic may be written without the prefix. A frame id looks the same, and is one where no topic is ours."""
        place = read_coordinates(asked)
        if place is None:
            return None
        known = {name for names in self._lanes.values() for name in (getattr(names, each) for each in names.__slots__)}
        for topic in (place.topic, self._settings.topic_prefix + place.topic):
            if topic in known:
                return Coordinates(topic, place.partition, place.offset)
        return None

    def _followed(self, at: Coordinates) -> Coordinates:
        """From a label or a dead letter to its frame."""
        found = frame_at(self._reader, at, self._registry).record
        if found is None:
            raise ConfigError(f"the record at {at} is gone")
        failure = read_failure(found.headers)
        if failure is not None:
            place = failure.source
        else:
            try:
                place = codec.decode(Label, found.value, self._registry).source
            except BadFrame as error:
                raise ConfigError(f"the record at {at} tells of no frame: {error}") from error
        self._notes.append(f"{at} is of the frame at {place}")
        return place

    def _by_id(self, frame_id: str, limits: Range) -> Coordinates:
        epoch = frame_id.split("/")[-2:-1]
        if not epoch:
            raise ConfigError(f"{frame_id!r} is neither TOPIC/PARTITION/OFFSET nor a frame id (SOURCE/EPOCH/NUMBER)")
        from_us = limits.from_us
        if from_us is None:
            # A frame is not older than the opening of its source, which its id tells in ms.
            opened_us = int(epoch[0]) * 1000 if epoch[0].isdecimal() and len(epoch[0]) < 15 else 0
            oldest_us = now_us() - self._settings.topics.frames_retention_h * HOUR_US
            from_us = opened_us if oldest_us <= opened_us <= now_us() else now_us() - HOUR_US
        names = self._lanes[self._lane]
        try:
            places = locate(self._reader, names, frame_id, from_us, limits.to_us, self._registry, self._stop)
        except SearchCut:
            raise SightlineError(
                f"no frame {frame_id!r} was found before the time was over: name --from and --to, or raise --timeout"
            ) from None
        if not places:
            place = read_coordinates(frame_id)
            neither = "" if place is None else f"no topic {place.topic} of ours, and "
            raise SightlineError(
                f"there is {neither}no frame {frame_id!r} in the time that was searched (--from, --to)"
            )
        if len(places) > 1:
            found = ", ".join(map(str, places[:5]))
            raise ConfigError(f"{frame_id!r} was found {len(places)} times ({found}): name the one to explain")
        return places[0]

    def life_of(self, place: Coordinates, limits: Range) -> Life:
        """Everything that the topics tell of the frame there. Raises ConfigError for a place without a record yet."""
        lane: Lane = "replay" if place.topic == self._lanes["replay"].frames else "live"
        names, replay = self._lanes[lane], self._lanes["replay"]
        frame = frame_at(self._reader, place, self._registry)
        usable = self._usable([names.dead, names.retry, names.batches, replay.labels, names.progress])
        positions = read_positions(self._settings, self._reader, names, lane, [names.frames, *usable])
        matcher = Matcher(place, frame, names, replay, self._registry)
        topics = [
            names.labels,
            *(topic for topic in usable if topic not in (names.batches, names.labels, names.progress)),
        ]
        from_us = limits.from_us if limits.from_us is not None else self._begin_us(frame)
        life = Life(frame, matcher.findings, None, positions, self._settings.retry.delays_ms, notes=self._notes)
        search = partial(read_outcomes, self._reader, matcher, topics, from_us, limits.to_us, self._stop)
        try:
            life.searched_until_us = search()
            if names.batches in usable:
                life.batch = self._batch(names, life, from_us)
            if not life.findings.has_outcome:
                search()  # a frame that moved on meanwhile has got its outcome
        except SearchCut:
            life.complete = False
        if limits.to_us is None and lane == "live" and life.complete:
            self._look_later(usable, matcher, life)
        self._tell(life)
        return life

    def _look_later(self, usable: list[str], matcher: Matcher, life: Life) -> None:
        """What replays made of the frame, which can be long after its own outcome."""
        live, replay = self._lanes["live"], self._lanes["replay"]
        if live.progress not in usable:
            return
        replays = covering(self._reader, live.progress, life.place, self._registry)
        topics = [live.labels, *(topic for topic in usable if topic == replay.labels)]
        try:
            read_later(self._reader, matcher, topics, replays, self._stop)
        except SearchCut:
            life.notes.append("not all labels of replays were looked for before the time was over: raise --timeout")

    def _usable(self, topics: list[str]) -> list[str]:
        """Those that are there and may be read; the others are told of."""
        there, client = metadata_of(self._settings).topics, admin(self._settings)
        timeout_s = self._settings.kafka.start_timeout_ms / 1000
        usable = []
        for topic in dict.fromkeys(topics):
            # A topic that is hidden from this user is not listed either.
            if lacking := missing_topic_rights(client, [topic], [], timeout_s):
                self._notes.append(f"{topic} was not looked at: the right {', '.join(lacking)} is missing")
            elif topic not in there:
                self._notes.append(f"{topic} was not looked at: it does not exist")
            else:
                usable.append(topic)
        return usable

    def _begin_us(self, frame: FrameFound) -> Micros:
        if frame.record is not None:
            return frame.record.timestamp_ms * 1000
        # It was removed not later than what is first now: its outcome is looked for in the hours before that.
        key = frame.place.topic_partition
        first_ms = self._reader.first_times_ms([key])[key]
        begin_us = (first_ms * 1000 if first_ms >= 0 else now_us()) - 2 * HOUR_US
        self._notes.append("the frame is gone: when it was written is not known; name --from where its outcome lacks")
        return begin_us

    def _batch(self, names: TopicNames, life: Life, from_us: Micros) -> BatchFound | None:
        """None also where it was answered by the cache, or failed before there was one."""
        labels = life.findings.labels
        if labels and all(found.label.origin is not Origin.MODEL for found in labels):
            return None
        spans = {span.partition: span for span in self._reader.spans(names.batches, from_us - MARGIN_US)}
        span = spans.get(life.place.partition)
        if span is None:
            return None
        if labels:
            until_us = labels[0].label.labelled_at + MARGIN_US
            ends = {each.partition: each.start for each in self._reader.spans(names.batches, until_us)}
            span = Span(span.topic, span.partition, span.start, max(span.start, ends[span.partition]))
        lookup = RecordLookup(self._settings)
        try:
            return find_batch(lookup, span, life.place, life.frame_id, self._registry)
        except Unavailable as error:
            life.notes.append(f"its micro-batch could not be looked for: {error}")
            return None
        finally:
            lookup.close()

    def _tell(self, life: Life) -> None:
        findings = life.findings
        if findings.others:
            life.notes.append(
                f"{len(findings.others)} outcomes at these coordinates are of another frame: "
                f"{life.place.topic} was made again"
            )
        if findings.undecodable:
            life.notes.append(
                f"{findings.undecodable:,} records on the topics of labels are no labels that can be read"
            )
        for why in life.positions.unknown.values():
            life.notes.append(f"not known: {why}")
