"""Fetches frames to see whether the outcomes at their coordinates are theirs (see `frame_ids`)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from infra.audit.ledger import Ledger
from infra.failures.dead_letters import frame_id_of
from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Span
from schemas.codec import Registry
from schemas.coordinates import TopicPartition

# So many frames behind one whose outcome was that of another are fetched at a time, until all of them have their own.
NEIGHBOURS = 64


class FrameReader(Protocol):
    """The part of `infra.kafka.reader.Reader` that is used here."""

    def read(self, spans: Iterable[Span], stop: Callable[[], bool]) -> Iterator[ConsumedRecord]: ...


def compare_frames(ledger: Ledger, reader: FrameReader, registry: Registry | None, stop: Callable[[], bool]) -> int:
    """How many frames turned out to have no outcome of their own; the ledger counts them as such."""
    found = 0
    wanted = {(one.topic_partition, one.offset) for one in ledger.suspects()}
    asked = set[tuple[TopicPartition, int]]()
    while wanted and not stop():
        asked |= wanted
        ahead = set[tuple[TopicPartition, int]]()
        for record in reader.read(spans_of(wanted), stop):
            if not ledger.fetched(record.coordinates, frame_id_of(record, registry), record.timestamp_ms):
                found += 1
                more = ledger.ahead(record.topic_partition, record.offset + 1, NEIGHBOURS)
                ahead.update((record.topic_partition, offset) for offset in more)
        wanted = ahead - asked
    return found


def spans_of(places: Iterable[tuple[TopicPartition, int]]) -> list[Span]:
    """The ranges that hold exactly these places."""
    spans: list[Span] = []
    for partition, offset in sorted(places):
        last = spans[-1] if spans else None
        if last is not None and last.topic_partition == partition and last.end == offset:
            spans[-1] = Span(*partition, last.start, offset + 1)
        else:
            spans.append(Span(*partition, offset, offset + 1))
    return spans
