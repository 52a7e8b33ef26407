"""The micro-batch of a sink: what was read and is not flushed, and when it is time to flush. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from infra.kafka.groups import Ticket
from infra.kafka.records import ConsumedRecord
from infra.settings import SinkSettings
from schemas.coordinates import TopicPartition
from schemas.errors import BadLabel
from sinks.base.contract import Row
from sinks.base.dead import Burial

# What an entry costs beside the bytes of its record.
ENTRY_OVERHEAD_BYTES = 1_024


@dataclass(slots=True, eq=False)
class Entry:
    """One record of the labels topic on its way into the sink.

    Without a `ticket` it lies before the sink's position, and is read only for what it tells of repeats.
    `is_judged`: it is known what to do with it: store its `row`, or bury it as `bad`, or neither (a repeat).
    """

    record: ConsumedRecord
    generation: int
    ticket: Ticket[None] | None
    is_judged: bool = False
    row: Row | None = None
    bad: BadLabel | None = None
    burial: Burial | None = None

    @property
    def size_bytes(self) -> int:
        return len(self.record.value or b"") + len(self.record.key or b"") + ENTRY_OVERHEAD_BYTES

    def refuse(self, bad: BadLabel) -> None:
        self.row, self.bad = None, bad


class Batch:
    """Entries in the order in which they were read; bounded in count and in bytes. Times are seconds of one clock."""

    def __init__(self, settings: SinkSettings) -> None:
        self._settings = settings
        self.entries: list[Entry] = []
        self._bytes = 0
        self._began_s = 0.0

    def add(self, entry: Entry, now_s: float) -> None:
        if not self.entries:
            self._began_s = now_s
        self.entries.append(entry)
        self._bytes += entry.size_bytes

    def is_full(self) -> bool:
        """Nothing more is to be read until this is flushed."""
        return len(self.entries) >= self._settings.max_batch_rows or self._bytes >= self._settings.max_batch_bytes

    def is_due(self, now_s: float) -> bool:
        """Time to flush: full, or its first entry has waited for the interval; an empty one, since the last flush."""
        return self.is_full() or now_s - self._began_s >= self._settings.flush_interval_ms / 1000

    def keep(self, is_current: Callable[[Entry], bool]) -> None:
        """Drop entries whose partition was revoked, lost or started anew: they are read again by its next owner."""
        self.entries = [entry for entry in self.entries if is_current(entry)]
        self._bytes = sum(entry.size_bytes for entry in self.entries)

    def clear(self, now_s: float) -> None:
        """All is flushed."""
        self.entries, self._bytes, self._began_s = [], 0, now_s


def positions_behind(entries: Iterable[Entry]) -> dict[TopicPartition, int]:
    """Per partition, the next offset behind those entries that have a ticket."""
    positions: dict[TopicPartition, int] = {}
    for entry in entries:
        if entry.ticket is not None:
            behind = entry.record.offset + 1
            positions[entry.record.topic_partition] = max(behind, positions.get(entry.record.topic_partition, 0))
    return positions
