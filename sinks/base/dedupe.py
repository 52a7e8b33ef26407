"""Which labels were seen before, in bounded memory. Pure; every sink that cannot upsert goes by this."""

from collections import OrderedDict

DEFAULT_WINDOW_OFFSETS = 65_536
DEFAULT_MAX_PARTITIONS = 1_024

_Key = tuple[str, int, str | None]


class Deduplicator:
    """Recognises a second label for the same (topic, partition, offset, replay_id) of its source.

    Promises never to call a first label a repeat, and to recognise every repeat whose offset is less than
    `window_offsets` behind the highest one seen of its partition. What lies further back cannot be told: it passes
    as new and is counted in `beyond_window`; so does everything of a (topic, partition, replay_id) that was not
    seen for longer than `max_partitions` others. The repeats of a crash lie within what was in flight, thousands
    of offsets at most. A topic that was deleted and created again starts its offsets anew: use a new Deduplicator.

    Memory: window_offsets / 8 bytes for each of at most `max_partitions`; as shipped 8 KiB each, 8 MiB at most.
    """

    def __init__(
        self, window_offsets: int = DEFAULT_WINDOW_OFFSETS, max_partitions: int = DEFAULT_MAX_PARTITIONS
    ) -> None:
        if window_offsets < 1 or max_partitions < 1:
            raise ValueError("window_offsets and max_partitions must be at least 1")
        self._window_bytes = (window_offsets + 7) // 8
        self._max_partitions = max_partitions
        self._windows: OrderedDict[_Key, _Window] = OrderedDict()
        self.repeats = 0
        self.beyond_window = 0

    def is_first(self, topic: str, partition: int, offset: int, replay_id: str | None = None) -> bool:
        """True the first time these coordinates come; remembers them."""
        key = (topic, partition, replay_id)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(self._window_bytes, offset)
            if len(self._windows) > self._max_partitions:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key)
        seen = window.add(offset)
        if seen is None:
            self.beyond_window += 1
        elif seen:
            self.repeats += 1
        return not seen


class _Window:
    """A ring of one bit per offset, for the `size` offsets up to and with the highest one seen."""

    __slots__ = ("_bits", "_high", "_size")

    def __init__(self, size_bytes: int, first_offset: int) -> None:
        self._bits = bytearray(size_bytes)
        self._size = size_bytes * 8
        self._high = first_offset

    def add(self, offset: int) -> bool | None:
        """Whether the offset was there before; None when it lies too far back to tell."""
        if offset <= self._high - self._size:
            return None
        if offset > self._high:
            self._advance(offset)
        index, bit = (offset % self._size) >> 3, 1 << (offset & 7)
        seen = bool(self._bits[index] & bit)
        self._bits[index] |= bit
        return seen

    def _advance(self, high: int) -> None:
        if high - self._high >= self._size:
            self._bits = bytearray(len(self._bits))
        else:
            for offset in range(self._high + 1, high + 1):
                self._bits[(offset % self._size) >> 3] &= ~(1 << (offset & 7)) & 0xFF
        self._high = high
