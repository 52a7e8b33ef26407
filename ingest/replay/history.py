"""Where the frames of the past are read: the topic, or an archive and the topic as one range, switched by offset."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Period, Span
from infra.kafka.topic_admin import log_id
from infra.settings import KIB, MIB, Settings
from ingest.archive.reading import Archive
from ingest.replay.archived import NO_ARCHIVE, Archived, archived, pieces
from ingest.replay.candidates import candidates, is_sparse
from schemas.errors import ConfigError
from schemas.replays import ReplayGap

EXPIRED = "retention removed them while the replay ran"
# What the client of one partition may hold, where each partition has one.
SMALL_KEYS = {"queued.max.messages.kbytes": 4 * MIB // KIB, "fetch.max.bytes": 16 * MIB}
# Of a client that fetches single frames: what comes behind them is not wanted.
SINGLE_KEYS = {"max.partition.fetch.bytes": 64 * KIB, "queued.min.messages": 1}
SINGLE_POLL_S = 0.01

Stopped = Callable[[], bool]


class History(Protocol):
    """Frames of the past by offset. `gaps`: offsets that were gone when they were to be read, in the order found."""

    @property
    def gaps(self) -> Sequence[ReplayGap]: ...

    def records(self, spans: Sequence[Span], stop: Stopped, below: int | None = None) -> Iterator[ConsumedRecord]:
        """The records of the ranges that are still there, in the order of offsets within each partition.

        `below`: those whose places have no hash below it may be left out.
        """

    def partition(self, spans: Sequence[Span], stop: Stopped) -> Iterator[ConsumedRecord]:
        """The same for ranges of one partition, by a client of its own."""


def in_order_of_time(history: History, spans: Sequence[Span], stop: Stopped) -> Iterator[ConsumedRecord]:
    """Always of the partition whose next record is the oldest."""
    parts = [history.partition(one, stop) for one in by_partition(spans)]
    return heapq.merge(*parts, key=lambda record: record.timestamp_ms)


def by_partition(spans: Iterable[Span]) -> list[list[Span]]:
    """The ranges of each partition, in the order of offsets."""
    found: dict[int, list[Span]] = {}
    for span in sorted(spans, key=lambda one: one.start):
        found.setdefault(span.partition, []).append(span)
    return list(found.values())


class TopicHistory:
    """The frames on the topic. Joins no group, and commits nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.gaps: list[ReplayGap] = []

    def records(self, spans: Sequence[Span], stop: Stopped, below: int | None = None) -> Iterator[ConsumedRecord]:
        if below is None or not is_sparse(below):
            with Reader(self._settings) as reader:
                yield from self._read(reader, spans, stop)
            return
        with Reader(self._settings, **SINGLE_KEYS) as reader:
            reader.poll_s = SINGLE_POLL_S
            yield from self._read(reader, candidates(spans, below), stop)

    def partition(self, spans: Sequence[Span], stop: Stopped) -> Iterator[ConsumedRecord]:
        with Reader(self._settings, **SMALL_KEYS) as reader:
            yield from self._read(reader, spans, stop)

    def _read(self, reader: Reader, spans: Iterable[Span], stop: Stopped) -> Iterator[ConsumedRecord]:
        known = 0
        for record in reader.read(spans, stop):
            if len(reader.expired) > known:
                known = self._note(reader, known)
            yield record
        self._note(reader, known)

    def _note(self, reader: Reader, known: int) -> int:
        new = reader.expired[known:]
        self.gaps += [ReplayGap(one.topic, one.partition, one.start, one.end, EXPIRED) for one in new]
        return known + len(new)


class ArchivedHistory:
    """The frames of an archive, and those of the topic that the archive does not have.

    Of the archive only the frames of the period and of matching sources are read; what else is read is up to the caller
    to leave out. Raises ArchiveError, naming the file, where one is missing, cut or altered.
    """

    def __init__(self, archive: Archive, topic: TopicHistory, held: Sequence[Span], period: Period, glob: str | None):
        """`held`: the offsets that are taken from the archive."""
        self._archive, self._topic, self._period, self._glob = archive, topic, period, glob
        self._held = held

    @property
    def gaps(self) -> Sequence[ReplayGap]:
        return self._topic.gaps

    def records(self, spans: Sequence[Span], stop: Stopped, below: int | None = None) -> Iterator[ConsumedRecord]:
        """Partition by partition up to the last offset that the archive has; then the rest of all of them at once."""
        last: list[Span] = []
        for ranges in by_partition(spans):
            parts = [part for span in ranges for part in pieces(span, self._held)]
            switch = max((number + 1 for number, (_, is_held) in enumerate(parts) if is_held), default=0)
            yield from self._pieces(parts[:switch], stop)
            last += [span for span, _ in parts[switch:]]
        yield from self._topic.records(last, stop, below)

    def partition(self, spans: Sequence[Span], stop: Stopped) -> Iterator[ConsumedRecord]:
        for span in spans:
            yield from self._pieces(pieces(span, self._held), stop)

    def _pieces(self, parts: Iterable[tuple[Span, bool]], stop: Stopped) -> Iterator[ConsumedRecord]:
        for span, is_archived in parts:
            if not is_archived:
                yield from self._topic.partition([span], stop)
                continue
            found = self._archive.records(
                span.topic, span.partition, span.start, span.end, source_glob=self._glob, period=self._period
            )
            for record in found:
                if stop():
                    return
                yield record


def open_history(
    settings: Settings, topic: str, log: Iterable[Span], archive: Archive | None, period: Period, glob: str | None
) -> tuple[History, Archived]:
    """The topic alone, or with an archive. Raises ConfigError for an archive of another topic."""
    alone = TopicHistory(settings)
    if archive is None:
        return alone, NO_ARCHIVE
    if archive.topic != topic or archive.log_id != log_id(settings, topic):
        raise ConfigError(f"the archive {archive.url} is of another topic than {topic}, or of one made again since")
    found = archived(archive.spans(topic), archive.only, log)
    return ArchivedHistory(archive, alone, found.held, period, glob), found
