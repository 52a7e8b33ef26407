"""Recognises labels of frames that already had one, in bounded memory, for readers without a consumer group. Pure."""

from array import array
from collections import OrderedDict
from zlib import crc32

DEFAULT_WINDOW_OFFSETS = 65_536
DEFAULT_MAX_PARTITIONS = 256

_Key = tuple[str, int, str | None]


class Deduplicator:
    """Recognises a further label of the same frame: topic, partition and offset of the frame, its id, replay id and
    revision, so that a correction is no repeat of what it corrects.

    A topic that was deleted and made again starts at 0: there the same coordinates are those of another frame, with
    another id. A first label is never called a repeat (but for one in four thousand million such pairs, whose ids have
    the same checksum). Every repeat is recognised whose offset is less than `window_offsets` behind
    the highest offset seen of its partition. For an older offset the answer is unknown: it passes as a first label and
    is counted in `beyond_window`. At most `max_partitions` combinations of topic, partition and replay id are
    remembered; the one that was not seen for the longest time is forgotten, and its labels then pass as first labels.
    A crash repeats only labels of frames that were in flight, thousands of offsets at most.

    Memory: 4.1 bytes an offset of the window for each of `max_partitions`; with the defaults 264 KiB each and 66 MiB at
    most.
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

    def is_first(
        self, topic: str, partition: int, offset: int, replay_id: str | None = None, frame_id: str = "",
        revision: int = 0,
    ) -> bool:  # fmt: skip
        """True the first time that these coordinates are given with that frame and revision. Remembers them."""
        key = (topic, partition, replay_id)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(self._window_bytes, offset)
            if len(self._windows) > self._max_partitions:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key)
        seen = window.add(offset, crc32(f"{frame_id}/{revision}".encode()))
        if seen is None:
            self.beyond_window += 1
        elif seen:
            self.repeats += 1
        return not seen


class _Window:
    """A ring buffer of the last `size` offsets, up to and including the highest one seen: a bit for each that was seen,
    and the checksum of its frame's id.
    """

    __slots__ = ("_bits", "_frames", "_high", "_size")

    def __init__(self, size_bytes: int, first_offset: int) -> None:
        self._bits = bytearray(size_bytes)
        self._size = size_bytes * 8
        self._frames = array("I", bytes(4 * self._size))
        self._high = first_offset

    def add(self, offset: int, frame: int) -> bool | None:
        """Whether the offset was added before, for this frame last; None when it is older than the window."""
        if offset <= self._high - self._size:
            return None
        if offset > self._high:
            self._advance(offset)
        index, bit = (offset % self._size) >> 3, 1 << (offset & 7)
        place = offset % self._size
        seen = bool(self._bits[index] & bit) and self._frames[place] == frame
        self._bits[index] |= bit
        self._frames[place] = frame
        return seen

    def _advance(self, high: int) -> None:
        if high - self._high >= self._size:
            self._bits = bytearray(len(self._bits))
        else:
            for offset in range(self._high + 1, high + 1):
                self._bits[(offset % self._size) >> 3] &= ~(1 << (offset & 7)) & 0xFF
        self._high = high
