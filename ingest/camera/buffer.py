"""Frames between the cameras and Kafka: bounded in bytes and count, and who loses when there is no room."""

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

# A finite source's frames wait as well in the source itself.
FINITE_HELD = 2

ItemT = TypeVar("ItemT")


@dataclass
class _Lane(Generic[ItemT]):
    live: bool
    items: deque[tuple[ItemT, int]] = field(default_factory=deque)
    bytes: int = 0

    def push(self, item: ItemT, size: int) -> None:
        self.items.append((item, size))
        self.bytes += size

    def pop(self) -> ItemT:
        item, size = self.items.popleft()
        self.bytes -= size
        return item


class FrameBuffer(Generic[ItemT]):
    """One lane per source, emptied in turn. A full live lane loses its oldest frame; a finite source waits.

    `max_bytes` counts for all live sources together (one frame always fits); `max_frames` for each of them.
    """

    def __init__(self, max_bytes: int, max_frames: int) -> None:
        self._max_bytes, self._max_frames = max_bytes, max_frames
        self._lanes: dict[str, _Lane[ItemT]] = {}
        self._changed = threading.Condition()
        self._closed = False

    def add_source(self, source_id: str, live: bool) -> None:
        with self._changed:
            self._lanes[source_id] = _Lane(live)

    def put(self, source_id: str, item: ItemT, size: int) -> list[ItemT]:
        """Put one in; the older ones that had to go for it. A finite source waits here for its turn."""
        with self._changed:
            lane = self._lanes[source_id]
            if not lane.live:
                self._changed.wait_for(lambda: self._closed or len(lane.items) < FINITE_HELD)
            lane.push(item, size)
            lost = self._make_room(source_id) if lane.live else []
            self._changed.notify_all()
            return lost

    def take(self, timeout_s: float) -> ItemT | None:
        """The oldest frame of the source whose turn it is; None when there is none in time."""
        with self._changed:
            self._changed.wait_for(lambda: any(lane.items for lane in self._lanes.values()), timeout_s)
            for source_id, lane in self._lanes.items():
                if lane.items:
                    self._lanes[source_id] = self._lanes.pop(source_id)  # to the end of the queue for the next turn
                    self._changed.notify_all()
                    return lane.pop()
            return None

    def close(self) -> None:
        """No more waiting in `put` (one more frame per finite source may come); what is inside can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def held_frames(self) -> dict[str, int]:
        """Frames per source."""
        with self._changed:
            return {source_id: len(lane.items) for source_id, lane in self._lanes.items()}

    def held_bytes(self) -> int:
        with self._changed:
            return sum(lane.bytes for lane in self._lanes.values())

    def _make_room(self, newest_from: str) -> list[ItemT]:
        lost = []
        mine = self._lanes[newest_from]
        while len(mine.items) > self._max_frames:
            lost.append(mine.pop())
        live = [lane for lane in self._lanes.values() if lane.live]
        while sum(lane.bytes for lane in live) > self._max_bytes and sum(len(lane.items) for lane in live) > 1:
            # Whoever holds the most gives, so that a busy camera cannot push out a quiet one.
            lost.append(max(live, key=lambda lane: lane.bytes).pop())
        return lost
