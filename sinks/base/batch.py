"""The micro-batch of a sink: the records that were read and not flushed yet, and when to flush them. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.kafka.groups import Ticket
from infra.kafka.records import ConsumedRecord
from infra.settings import SinkSettings
from schemas.clocks import read_clock
from schemas.coordinates import TopicPartition
from schemas.errors import BadLabel
from sinks.base.contract import Row
from sinks.base.dead import DeadDelivery

if TYPE_CHECKING:
    from infra.process.spans import Span

# The memory of an entry beside the bytes of its record.
ENTRY_OVERHEAD_BYTES = 1_024


@dataclass(slots=True, eq=False)
class Entry:
    """One record of the labels topic that was read and not flushed yet.

    An entry without a `ticket` lies before the sink's position. It is read only so that repeats of it are recognised.
    `is_judged`: it is decided whether to store the label (`row`), to send it to `labels.dead` (`bad`), or neither (a
    repeat). `delivery`: the dead letter of a refused label, once it was sent. `span`: of a label that is sampled, while
    traces are on.
    """

    record: ConsumedRecord
    generation: int
    ticket: Ticket[None] | None
    is_judged: bool = False
    row: Row | None = None
    bad: BadLabel | None = None
    delivery: DeadDelivery | None = None
    span: "Span | None" = None

    @property
    def size_bytes(self) -> int:
        return len(self.record.value or b"") + len(self.record.key or b"") + ENTRY_OVERHEAD_BYTES

    @property
    def captured_ms(self) -> int | None:
        """The capture time of the label's frame; where that is not credible, the time of the frame's record.

        None for a correction: it says nothing of how far behind the live frames a sink is.
        """
        if self.row is None or self.row.label.revision > 0:
            return None
        return read_clock(self.record.headers) or self.row.label.captured_at // 1000

    def refuse(self, bad: BadLabel) -> None:
        self.row, self.bad = None, bad


class Batch:
    """Entries in the order in which they were read, bounded in number and in bytes. All times are of one clock."""

    def __init__(self, settings: SinkSettings) -> None:
        self._settings = settings
        self.entries: list[Entry] = []
        self.size_bytes = 0
        self._began_s = 0.0

    def add(self, entry: Entry, now_s: float) -> None:
        if not self.entries:
            self._began_s = now_s
        self.entries.append(entry)
        self.size_bytes += entry.size_bytes

    def is_full(self) -> bool:
        """Whether reading must pause until the batch is flushed."""
        return len(self.entries) >= self._settings.max_batch_rows or self.size_bytes >= self._settings.max_batch_bytes

    def is_due(self, now_s: float) -> bool:
        """Whether to flush: the batch is full, or its first entry (if empty, the last flush) is one interval old."""
        return self.is_full() or now_s - self._began_s >= self._settings.flush_interval_ms / 1000

    def keep(self, is_current: Callable[[Entry], bool]) -> None:
        """Drop the entries whose partition was revoked, lost or restarted: its next owner reads these records again."""
        self.entries = [entry for entry in self.entries if is_current(entry)]
        self.size_bytes = sum(entry.size_bytes for entry in self.entries)

    def clear(self, now_s: float) -> None:
        """Empty the batch after a flush."""
        self.entries, self.size_bytes, self._began_s = [], 0, now_s


def positions_behind(entries: Iterable[Entry]) -> dict[TopicPartition, int]:
    """Per partition, the offset after the last entry that has a ticket."""
    positions: dict[TopicPartition, int] = {}
    for entry in entries:
        if entry.ticket is not None:
            behind = entry.record.offset + 1
            positions[entry.record.topic_partition] = max(behind, positions.get(entry.record.topic_partition, 0))
    return positions
