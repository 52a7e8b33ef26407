"""Frames of hard sources that wait for the decoder: which is next, and which stay in memory. Pure.

A hard source is one whose pictures take the decoder long. When it sends more of them than the decoder can do, its
frames wait here without their bytes, and are read again from their topic when their turn comes. So frames of other
sources, on the same partition too, go on.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from streams.stage.frames import ParsedFrame

# Of one source: a camera that is only now and then ahead of the decoder has nothing read again.
KEPT_FRAMES = 4


class HardFrame:
    """A frame of a hard source; `parsed` is None while its bytes are not in memory."""

    __slots__ = ("image_hash", "parsed", "pending", "place")

    def __init__(self, parsed: ParsedFrame) -> None:
        self.pending, self.place, self.image_hash = parsed.pending, parsed.place, parsed.image_hash
        self.parsed: ParsedFrame | None = parsed

    @property
    def source(self) -> Hashable:
        return self.place.source

    def drop_bytes(self) -> None:
        self.parsed = None
        self.pending.drop_bytes()


@dataclass(slots=True)
class _Line:
    """The frames of one source: those that wait, how many of them have their bytes, how many others are at work."""

    frames: deque[HardFrame] = field(default_factory=deque)
    kept: int = 0
    at_work: int = 0


class HardQueue:
    """Frames by source, each source in order, the sources in turn.

    At most `max_bytes` of the frames that wait keep their bytes, and of each source KEPT_FRAMES. A retried frame always
    keeps them, because its origin may be gone while the retry topic has it; the retry consumer limits their number.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lines: dict[Hashable, _Line] = {}
        self.kept_bytes = 0

    def __contains__(self, source: Hashable) -> bool:
        """Whether frames of the source wait or are at work."""
        return source in self._lines

    def __len__(self) -> int:
        """How many frames wait or are at work."""
        return sum(len(line.frames) + line.at_work for line in self._lines.values())

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

    def begin(self, frame: HardFrame) -> None:
        """The frame is at work without having waited."""
        self._lines.setdefault(frame.source, _Line()).at_work += 1

    def next(self, max_at_work: int) -> HardFrame | None:
        """The next frame, which is at work from now on; None where each source has none or `max_at_work` at work."""
        for source, line in self._lines.items():
            if line.frames and line.at_work < max_at_work:
                frame = line.frames.popleft()
                line.at_work += 1
                if frame.parsed is not None:
                    line.kept -= 1
                    self.kept_bytes -= frame.pending.size
                self._lines[source] = self._lines.pop(source)  # the others are next
                return frame
        return None

    def done(self, frame: HardFrame) -> None:
        """The frame is at work no longer."""
        line = self._lines[frame.source]
        line.at_work -= 1
        if not line.at_work and not line.frames:
            del self._lines[frame.source]
