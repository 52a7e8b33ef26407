"""When a window of frames closes: by count, by bytes, or at a deadline counted from its first frame. Pure.

Faust's `take(n, within)` closes windows by a timer that runs on regardless of arrivals, so a frame waits for any time
up to `within`. Here no frame waits longer than the deadline, and the last frame of an idle camera does not wait for
the next one.
"""

from typing import Generic, TypeVar

T = TypeVar("T")


class WindowBuilder(Generic[T]):
    """Collects items in order into windows of at most `max_items` and `max_bytes`; one item alone may be larger.

    The owner calls `close_due` when `due_ms` has come.
    """

    def __init__(self, max_items: int, max_bytes: int, deadline_ms: float) -> None:
        self._max_items, self._max_bytes, self._deadline_ms = max_items, max_bytes, deadline_ms
        self._items: list[T] = []
        self._bytes = 0
        self._due_ms: float | None = None

    @property
    def due_ms(self) -> float | None:
        """When the open window must be closed; None while it is empty."""
        return self._due_ms

    def add(self, item: T, size: int, now_ms: float) -> list[list[T]]:
        """Add one item. Returns the windows that are now closed, oldest first: two when the item fills one alone."""
        closed: list[list[T]] = []
        if self._items and self._bytes + size > self._max_bytes:
            closed += self.close()
        if not self._items:
            self._due_ms = now_ms + self._deadline_ms
        self._items.append(item)
        self._bytes += size
        if len(self._items) >= self._max_items or self._bytes >= self._max_bytes:
            closed += self.close()
        return closed

    def close_due(self, now_ms: float) -> list[list[T]]:
        """The open window if its deadline has passed, else nothing."""
        return self.close() if self._due_ms is not None and now_ms >= self._due_ms else []

    def close(self) -> list[list[T]]:
        """The open window, whatever its deadline; nothing when it is empty."""
        if not self._items:
            return []
        closed, self._items, self._bytes, self._due_ms = self._items, [], 0, None
        return [closed]
