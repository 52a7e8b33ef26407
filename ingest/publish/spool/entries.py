"""What the queue knows of the frames on disk: its index in memory."""

from collections import deque
from dataclasses import dataclass

from ingest.publish.spool.segment import Segment
from schemas.records import Micros


@dataclass(slots=True, eq=False)
class Entry:
    """Where one frame is. It is waiting, or sent and not yet known to be delivered."""

    number: int
    source_id: str
    segment: Segment
    offset: int
    length: int
    stored_at: Micros


class SourceEntries:
    """The entries of one source: those that wait in the order of their numbers, those that are sent by number."""

    def __init__(self) -> None:
        self.waiting: deque[Entry] = deque()
        self.sent: dict[int, Entry] = {}

    def wait_again(self, entries: list[Entry]) -> None:
        """Entries that were sent wait again, each at its place: nearly always before all others."""
        newest = max(entry.number for entry in entries)
        while self.waiting and self.waiting[0].number < newest:
            entries.append(self.waiting.popleft())
        self.waiting.extendleft(sorted(entries, key=lambda entry: entry.number, reverse=True))

    def oldest(self) -> Entry | None:
        """The one with the lowest number. One that came back and was sent again lies behind younger ones in `sent`."""
        heads = [self.waiting[0]] if self.waiting else []
        if self.sent:
            heads.append(self.sent[min(self.sent)])
        return min(heads, key=lambda entry: entry.number, default=None)
