"""Reads the events of `--only` from `labels`, `labels.review` and `frames.dead`, each record once."""

from collections.abc import Callable

from infra.failures.dead_letters import DeadLetter, parse
from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.schema_registry import registry_of
from infra.kafka.spans import Span
from infra.kafka.topics import TopicNames
from infra.process import logs, metrics
from infra.settings import Settings
from ingest.archive.events import Only, Windows
from schemas import codec
from schemas.clocks import read_clock
from schemas.coordinates import TopicPartition
from schemas.errors import BadFrame
from schemas.records import Label, Micros

log = logs.get(__name__)


class EventReader:
    """`windows` grow with each call of `read`."""

    def __init__(self, settings: Settings, reader: Reader, only: Only, since_us: Micros) -> None:
        """`since_us`: events are read from the records of that time on."""
        names = TopicNames.for_lane(settings.topic_prefix)
        self._reader, self._registry, self._only, self._since_us = reader, registry_of(settings), only, since_us
        self._dead, self._labels = names.dead, names.labels
        self.topics = topics_of(names, only)
        self._next: dict[TopicPartition, int] = {}
        self.windows = Windows(only)

    def read(self, stop: Callable[[], bool], settled_ms: int | None) -> None:
        """Read what was written since the last call. `settled_ms`: frames before that time are decided on already."""
        spans = self._spans()
        late = 0
        for record in self._reader.read(spans, stop):
            found = self._event(record)
            if found is not None:
                self.windows.add(*found)
                late += settled_ms is not None and found[1] - self._only.before_ms < settled_ms
        if stop():
            return
        self._next.update((span.topic_partition, span.end) for span in spans)
        if late:
            metrics.ARCHIVE_LATE_EVENTS.inc(late)
            log.warning("events came after frames around them were passed over: raise archive.settle_s", count=late)

    def _spans(self) -> list[Span]:
        found = []
        for topic in self.topics:
            for span in self._reader.spans(topic, self._since_us):
                start = max(span.start, self._next.get(span.topic_partition, span.start))
                found.append(Span(span.topic, span.partition, min(start, span.end), span.end))
        return found

    def _event(self, record: ConsumedRecord) -> tuple[str, int] | None:
        """The source and the time of the event's frame; None where the record is no event."""
        if record.topic == self._dead:
            letter = parse(record)
            if not isinstance(letter, DeadLetter):
                return None
            frame_ms = letter.failure.timestamp_ms if letter.failure else 0
            return letter.source_id, frame_ms or letter.timestamp_ms
        try:
            label = codec.decode(Label, record.value, self._registry)
        except BadFrame:
            return None
        if record.topic == self._labels and not self._only.is_event(label):
            return None
        clock_ms = read_clock(record.headers)
        return label.source_id, label.captured_at // 1000 if clock_ms is None else clock_ms


def topics_of(names: TopicNames, only: Only) -> list[str]:
    """The topics that are read for the events."""
    wanted = [(only.review, names.review), (only.is_labels, names.labels), (only.dead, names.dead)]
    return [topic for is_wanted, topic in wanted if is_wanted]
