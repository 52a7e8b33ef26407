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
    """The entries of one source, each kind in the order of their numbers."""

    def __init__(self) -> None:
        self.waiting: deque[Entry] = deque()
        self.sent: dict[int, Entry] = {}

    def oldest(self) -> Entry | None:
        heads = [*list(self.waiting)[:1], *list(self.sent.values())[:1]]
        return min(heads, key=lambda entry: entry.number, default=None)
