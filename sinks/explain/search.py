"""Reads what the topics hold of one frame: bounded by time, all partitions at once, and no longer than needed."""

from collections.abc import Callable, Iterable, Iterator

from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Span
from infra.kafka.topics import TopicNames
from infra.process.times import now_us
from schemas import codec
from schemas.codec import Registry
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame, ConfigError
from schemas.records import Frame, Micros
from sinks.explain.found import FrameFound, Matcher, place_told

# The time after a frame in which its outcomes are looked for, widened step by step; the last step is the present end.
STEPS_S = (60, 15 * 60, 2 * 3600, 12 * 3600, 72 * 3600)
# A second label of a frame, as a crash leaves it, is written within this time after the first.
REPEATS_US: Micros = 10 * 60 * 1_000_000
# Machines' clocks differ: an outcome can seem to be older than its frame.
MARGIN_US: Micros = 10_000_000

Stop = Callable[[], bool]


class SearchCut(Exception):
    """The time for the search is over."""


def frame_at(reader: Reader, place: Coordinates, registry: Registry | None) -> FrameFound:
    """The frame's record. Raises ConfigError, with the reason, for a place that no record can have had yet."""
    spans = {span.partition: span for span in reader.spans(place.topic)}
    span = spans.get(place.partition)
    if span is None:
        raise ConfigError(f"{place.topic} has {len(spans)} partitions, 0 to {max(spans)}, and no {place.partition}")
    if place.offset >= span.end:
        raise ConfigError(
            f"{place.topic}/{place.partition} ends before offset {span.end}: there is no record at {place.offset} yet"
        )
    if place.offset < span.start:
        return FrameFound(place, fault=f"removed by retention: the partition begins at offset {span.start} now")
    for record in reader.read([Span(*place.topic_partition, place.offset, place.offset + 1)]):
        try:
            return FrameFound(place, record, codec.decode(Frame, record.value, registry), log_start=span.start)
        except BadFrame as error:
            return FrameFound(place, record, fault=str(error), log_start=span.start)
    return FrameFound(place, fault="there is no record at this offset: it belongs to a transaction marker, say")


def read_outcomes(
    reader: Reader, matcher: Matcher, topics: Iterable[str], from_us: Micros, to_us: Micros | None, stop: Stop
) -> Micros:
    """Give the matcher every record from `from_us` on; until when it was looked. Raises SearchCut.

    Without `to_us` it looks until some time after the first outcome, or to the end where there is none.
    """
    looked_us = from_us
    for spans, looked_us in slices(reader, topics, from_us - MARGIN_US, to_us):
        for record in _read(reader, spans, stop):
            matcher.take(record)
        newest_us = matcher.findings.newest_ms * 1000
        if to_us is None and newest_us and looked_us > newest_us + REPEATS_US:
            break
    return looked_us


def locate(
    reader: Reader, names: TopicNames, frame_id: str, from_us: Micros, to_us: Micros | None,
    registry: Registry | None, stop: Stop,
) -> list[Coordinates]:  # fmt: skip
    """Where frames of that id lie, as labels tell it, or else dead letters and retries, or else the frames' own topic.

    Looks no further than the step of time in which one was found. Raises SearchCut.
    """
    for topics in ([names.labels], [names.dead, names.retry], [names.frames]):
        for spans, _ in slices(reader, topics, from_us - MARGIN_US, to_us):
            told = (place_told(record, names, frame_id, registry) for record in _read(reader, spans, stop))
            places = dict.fromkeys(place for place in told if place is not None)
            if places:
                return list(places)
    return []


def slices(
    reader: Reader, topics: Iterable[str], from_us: Micros, to_us: Micros | None
) -> Iterator[tuple[list[Span], Micros]]:
    """Ranges of all partitions, one step of time behind the other without a gap, each with the time of its end."""
    names, end_us = list(topics), min(now_us(), to_us or now_us())
    starts = _offsets(reader, names, from_us)
    for until_us in [*(from_us + step * 1_000_000 for step in STEPS_S), end_us]:
        is_last = until_us >= end_us
        # Without --to the last step ends where the logs end now, whatever the clocks say.
        ends = _offsets(reader, names, end_us if to_us else None) if is_last else _offsets(reader, names, until_us)
        spans = [Span(*key, starts.get(key, 0), end) for key, end in ends.items()]
        yield spans, min(until_us, end_us)
        if is_last:
            return
        starts = ends


def _offsets(reader: Reader, topics: list[str], at_us: Micros | None) -> dict[TopicPartition, int]:
    """The first offset of that time, or the end for None."""
    spans = [span for topic in topics for span in reader.spans(topic, at_us)]
    return {span.topic_partition: span.end if at_us is None else span.start for span in spans}


def _read(reader: Reader, spans: list[Span], stop: Stop) -> Iterator[ConsumedRecord]:
    yield from reader.read(spans, stop)
    if stop():
        raise SearchCut
