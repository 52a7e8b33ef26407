"""The buffer between cameras and Kafka: bounded in bytes and in frames, with a rule for who loses when it is full."""

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

# A finite source needs no more: its other frames can wait in the file or folder.
FINITE_HELD = 2

ItemT = TypeVar("ItemT")


@dataclass
class _SourceQueue(Generic[ItemT]):
    live: bool
    is_leaving: bool = False
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
    """One queue for each source, served in turn. A full live queue loses its oldest frame; a finite source waits.

    `max_bytes` bounds all live sources together (one frame always fits), `max_frames` each of them.
    """

    def __init__(self, max_bytes: int, max_frames: int) -> None:
        self._max_bytes, self._max_frames = max_bytes, max_frames
        self._queues: dict[str, _SourceQueue[ItemT]] = {}
        self._changed = threading.Condition()
        self._closed = False

    def add_source(self, source_id: str, live: bool) -> None:
        """A new source, or one that was removed and comes back: what is still held of it keeps its place."""
        with self._changed:
            queue = self._queues.setdefault(source_id, _SourceQueue(live))
            queue.live, queue.is_leaving = live, False

    def remove_source(self, source_id: str) -> None:
        """Nobody waits in `put` for this source any more; it is gone once its frames are taken."""
        with self._changed:
            queue = self._queues[source_id]
            queue.is_leaving = True
            if not queue.items:
                del self._queues[source_id]
            self._changed.notify_all()

    def set_live(self, source_id: str, live: bool) -> None:
        """From now on the source is live, or finite."""
        with self._changed:
            self._queues[source_id].live = live

    def put(self, source_id: str, item: ItemT, size: int) -> list[ItemT]:
        """Put one frame in; returns the older ones that had to go for it. A finite source waits here for room."""
        with self._changed:
            queue = self._queues[source_id]
            if not queue.live:
                self._changed.wait_for(lambda: self._closed or queue.is_leaving or len(queue.items) < FINITE_HELD)
            queue.push(item, size)
            lost = self._make_room(source_id) if queue.live else []
            self._changed.notify_all()
            return lost

    def take(self, timeout_s: float, *, live_only: bool = False) -> ItemT | None:
        """The oldest frame of the source whose turn it is; None when no frame comes in time."""

        def has_turn(queue: _SourceQueue[ItemT]) -> bool:
            return bool(queue.items) and (queue.live or not live_only)

        with self._changed:
            self._changed.wait_for(lambda: any(map(has_turn, self._queues.values())), timeout_s)
            for source_id, queue in self._queues.items():
                if has_turn(queue):
                    item = queue.pop()
                    del self._queues[source_id]
                    if queue.items or not queue.is_leaving:
                        self._queues[source_id] = queue  # its next turn comes after all others
                    self._changed.notify_all()
                    return item
            return None

    def close(self) -> None:
        """End all waiting in `put`, which may add one more frame of each finite source; `take` still works."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def held_frames(self) -> dict[str, int]:
        """The number of frames of each source."""
        with self._changed:
            return {source_id: len(queue.items) for source_id, queue in self._queues.items()}

    def held_bytes(self) -> int:
        with self._changed:
            return sum(queue.bytes for queue in self._queues.values())

    def _make_room(self, newest_from: str) -> list[ItemT]:
        lost = []
        mine = self._queues[newest_from]
        while len(mine.items) > self._max_frames:
            lost.append(mine.pop())
        live = [queue for queue in self._queues.values() if queue.live]
        while sum(queue.bytes for queue in live) > self._max_bytes and sum(len(queue.items) for queue in live) > 1:
            # The source that holds the most bytes gives, so that a busy camera cannot push out a quiet one.
            lost.append(max(live, key=lambda queue: queue.bytes).pop())
        return lost
