"""Frames of hard sources that wait for the decoder: which is next, and which stay in memory. Pure.

A hard source is one whose pictures take the decoder long. When it sends more of them than the decoder can do, its
frames wait here without their bytes, and are read again from their topic when their turn comes. So frames of other
sources, on the same partition too, go on. What waits for very long is deferred: it waits on the retry topic as well, so
that the committed offset of its partition moves on.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from schemas.coordinates import Coordinates
from streams.stage.frames import ParsedFrame, PendingFrame, PreparedFrame
from streams.stage.write_order import Place

# Of one source: a camera that is only now and then ahead of the decoder has nothing read again.
KEPT_FRAMES = 4


class HardFrame:
    """A frame of a hard source; `parsed` is None while its bytes are not in memory.

    `place`, in the order of writing, and `image_hash` are None of a deferred frame, until it is read again.
    """

    __slots__ = ("image_hash", "parsed", "pending", "place", "source")

    def __init__(self, pending: PendingFrame, source: Hashable) -> None:
        self.pending, self.source = pending, source
        self.place: Place[PreparedFrame] | None = None
        self.image_hash: bytes | None = None
        self.parsed: ParsedFrame | None = None

    @classmethod
    def of(cls, parsed: ParsedFrame) -> "HardFrame":
        frame = cls(parsed.pending, parsed.source)
        frame.place, frame.image_hash, frame.parsed = parsed.place, parsed.image_hash, parsed
        return frame

    @classmethod
    def deferred(cls, pending: PendingFrame) -> "HardFrame":
        """A frame that was deferred by this stage or by one before. Producers key frames by their source."""
        key = pending.record.key or b""
        name = key.decode(errors="replace") if isinstance(key, bytes) else key
        return cls(pending, (pending.record.source.topic_partition, name))

    @property
    def origin(self) -> Coordinates:
        return self.pending.record.source

    def drop_bytes(self) -> None:
        self.parsed = None
        self.pending.drop_bytes()


@dataclass(slots=True)
class _Line:
    """The frames of one source: those that wait, how many of them have their bytes, how many others are at work."""

    frames: deque[HardFrame] = field(default_factory=deque)
    deferred: deque[HardFrame] = field(default_factory=deque)
    kept: int = 0
    at_work: int = 0


class HardQueue:
    """Frames by source, each source in order, the sources in turn. Deferred frames come behind all others of a source.

    At most `max_bytes` of the frames that wait keep their bytes, and of each source KEPT_FRAMES. A retried frame always
    keeps them, because its origin may be gone while the retry topic has it; the retry consumer limits their number.
    At most `max_deferred` deferred frames wait.
    """

    def __init__(self, max_bytes: int, max_deferred: int) -> None:
        self._max_bytes, self._max_deferred = max_bytes, max_deferred
        self._deferred = 0
        self._lines: dict[Hashable, _Line] = {}
        self.kept_bytes = 0

    def __contains__(self, source: Hashable) -> bool:
        """Whether frames of the source wait or are at work, apart from deferred ones that wait."""
        line = self._lines.get(source)
        return line is not None and bool(line.frames or line.at_work)

    def __len__(self) -> int:
        """How many frames wait or are at work."""
        return self._deferred + sum(len(line.frames) + line.at_work for line in self._lines.values())

    def add(self, frame: HardFrame) -> None:
        """The frame waits behind those of its source; it loses its bytes when enough are kept."""
        line = self._lines.setdefault(frame.source, _Line())
        line.frames.append(frame)
        has_room = line.kept < KEPT_FRAMES and self.kept_bytes + frame.pending.size <= self._max_bytes
        if has_room or frame.pending.record.attempt:
            line.kept += 1
            self.kept_bytes += frame.pending.size
        else:
            frame.drop_bytes()

    def add_deferred(self, frame: HardFrame) -> HardFrame | None:
        """The frame waits behind all of its source. Returns the one that must give way, where too many are deferred."""
        self._lines.setdefault(frame.source, _Line()).deferred.append(frame)
        self._deferred += 1
        if self._deferred <= self._max_deferred:
            return None
        source, longest = max(self._lines.items(), key=lambda line: len(line[1].deferred))
        return self._left(source, longest.deferred)

    def take_deferred(self, origin: Coordinates) -> HardFrame | None:
        """The deferred frame with that origin, which waits here no longer. None where another comes first."""
        for source, line in self._lines.items():
            if line.deferred and line.deferred[0].origin == origin:
                return self._left(source, line.deferred)
        return None

    def take_before(self, limit: Coordinates) -> list[HardFrame]:
        """The frames of that partition with lower offsets, which wait here no longer; not deferred or retried ones."""
        taken = []
        for source, line in list(self._lines.items()):
            while line.frames and _is_before(line.frames[0], limit):
                taken.append(self._left(source, line.frames))
        return taken

    def begin(self, frame: HardFrame) -> None:
        """The frame is at work without having waited."""
        self._lines.setdefault(frame.source, _Line()).at_work += 1

    def next(self, max_at_work: int) -> HardFrame | None:
        """The next frame, which is at work from now on; None where each source has none or `max_at_work` at work."""
        for source, line in self._lines.items():
            waiting = line.frames or line.deferred
            if waiting and line.at_work < max_at_work:
                line.at_work += 1
                frame = self._left(source, waiting)
                self._lines[source] = self._lines.pop(source)  # the others are next
                return frame
        return None

    def done(self, frame: HardFrame) -> None:
        """The frame is at work no longer."""
        self._lines[frame.source].at_work -= 1
        self._forget(frame.source)

    def _left(self, source: Hashable, waiting: deque[HardFrame]) -> HardFrame:
        """The first of the frames that wait, taken out."""
        line, frame = self._lines[source], waiting.popleft()
        if waiting is line.deferred:
            self._deferred -= 1
        elif frame.parsed is not None:
            line.kept -= 1
            self.kept_bytes -= frame.pending.size
        self._forget(source)
        return frame

    def _forget(self, source: Hashable) -> None:
        line = self._lines[source]
        if not (line.at_work or line.frames or line.deferred):
            del self._lines[source]


def _is_before(frame: HardFrame, limit: Coordinates) -> bool:
    origin = frame.origin
    is_older = origin.topic_partition == limit.topic_partition and origin.offset < limit.offset
    return is_older and not frame.pending.record.attempt
