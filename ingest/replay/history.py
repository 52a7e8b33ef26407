"""Where the frames of the past are read: the topic, or an archive and the topic as one range, switched by offset."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Protocol

from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Span
from infra.settings import KIB, MIB, Settings
from schemas.replays import ReplayGap

EXPIRED = "retention removed them while the replay ran"
# Readers of one partition each, at the original pace: what each may hold.
PACED_KEYS = {"queued.max.messages.kbytes": 4 * MIB // KIB, "fetch.max.bytes": 16 * MIB}

Stopped = Callable[[], bool]


class History(Protocol):
    """Frames of the past by offset. `gaps`: offsets that were gone when they were to be read, in the order found."""

    gaps: list[ReplayGap]

    def records(self, spans: Sequence[Span], stop: Stopped) -> Iterator[ConsumedRecord]:
        """Every record of the ranges that is still there, in the order of offsets within each partition."""


class TopicHistory:
    """The frames on the topic. Joins no group, and commits nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.gaps: list[ReplayGap] = []

    def records(self, spans: Sequence[Span], stop: Stopped) -> Iterator[ConsumedRecord]:
        with Reader(self._settings) as reader:
            yield from self._read(reader, spans, stop)

    def in_order_of_time(self, spans: Sequence[Span], stop: Stopped) -> Iterator[ConsumedRecord]:
        """The same, but always the partition whose next record is the oldest: each has a client of its own for it."""
        with ExitStack() as closing:
            parts = []
            for span in spans:
                reader = closing.enter_context(Reader(self._settings, **PACED_KEYS))
                parts.append(self._read(reader, [span], stop))
            yield from heapq.merge(*parts, key=lambda record: record.timestamp_ms)

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
