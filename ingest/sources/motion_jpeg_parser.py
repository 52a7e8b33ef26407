"""Finds the pictures in a Motion JPEG stream. Pure: bytes in, complete JPEGs out.

Cameras frame pictures in many ways: no boundary before the first part, another boundary than the declared one, a
Content-Length that is wrong, text parts, a closing boundary in mid-stream. Therefore no header of a part is believed.
A picture begins at a start-of-image marker; its segments are walked by their lengths, so that a thumbnail inside is no
picture of its own; and it ends at its end-of-image marker. The boundary is used to find where a broken picture ends.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

START = b"\xff\xd8\xff"
START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN = 0xD8, 0xD9, 0xDA
# Markers that have no length: TEM, and the restart markers.
BARE_MARKERS = frozenset((0x01, *range(0xD0, 0xD8)))
# In the coded data, FF 00 is a data byte, FF D0 to FF D7 are restart markers, and FF before FF is padding.
SCAN_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
# After a scan only these continue the picture: tables, comments and further scans. Others are stray bytes.
WITH_TEXT = frozenset((0xFE, *range(0xE0, 0xF0)))  # a comment, and what applications add
CONTINUING = frozenset((0xC4, 0xDA, 0xDB, 0xDC, 0xDD)) | WITH_TEXT
# Text between two pictures that is kept; a boundary has up to 70 characters (RFC 2046).
MAX_TEXT_BYTES = 8 * 1024
# Coded data may hold the bytes of a shorter boundary by chance.
MIN_BOUNDARY_BYTES = 4
OVERLAP_BYTES = 128
BOUNDARY_LINE = re.compile(rb"(?:^|[\r\n])--+([!-,./-~][!-~ ]{0,69}?)(?:--)?[ \t]*(?=[\r\n])")


@dataclass(frozen=True, slots=True)
class StreamPicture:
    """One picture of a stream. `ended`: it has its end-of-image marker; without it, it may be cut.

    `data` is empty where the picture is larger than the limit.
    """

    data: bytes
    ended: bool = True


class MotionJpegParser:
    """Takes the bytes of a stream as they come. Of the earlier ones it holds at most `max_bytes` or MAX_TEXT_BYTES.

    `damaged` counts broken pictures and parts without a picture.
    """

    def __init__(self, boundary: str, max_bytes: int) -> None:
        self.damaged = 0
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._found: list[StreamPicture] = []
        self._step: Callable[[], bool] = self._between_pictures
        self._at = 0  # how far the bytes of the current picture have been read
        self._has_scan = False
        self._in_part = self._part_has_text = self._boundary_seen = False
        self._boundary, self._boundary_line = b"", re.compile(rb"(?!)")
        self._expect(boundary.encode(errors="replace").strip(b"-"))

    @property
    def held_bytes(self) -> int:
        return len(self._buffer)

    @property
    def is_in_picture(self) -> bool:
        """Whether a picture has begun and not ended."""
        return self._step != self._between_pictures

    def feed(self, data: bytes) -> list[StreamPicture]:
        """The pictures that these bytes complete, in order."""
        self._buffer += data
        while self._step():
            pass
        return self._take_found()

    def finish(self) -> list[StreamPicture]:
        """The stream has ended: the picture that only lacks its end marker. `feed` may begin another stream."""
        if self._step == self._scan:
            self._cut(len(self._buffer))
        elif self._step == self._segments:
            self.damaged += 1
        self._go_on_at(len(self._buffer))
        self._in_part = self._part_has_text = False
        return self._take_found()

    # Each step returns True where it made progress, and False where it needs more bytes.

    def _between_pictures(self) -> bool:
        start = self._buffer.find(START)
        if start < 0:
            if len(self._buffer) > MAX_TEXT_BYTES:
                line = self._buffer.rfind(b"\n", len(self._buffer) - MAX_TEXT_BYTES // 2) + 1
                self._pass_text(line or len(self._buffer) - len(START) + 1)
            return False
        self._pass_text(start)
        self._in_part = self._part_has_text = False  # the part has a picture
        self._at, self._has_scan = 2, False
        self._step = self._segments
        return True

    def _segments(self) -> bool:
        """Go over the segments before a scan, each by its length."""
        buffer = self._buffer
        while self._at + 2 <= len(buffer):
            lead, marker = buffer[self._at : self._at + 2]
            if lead != 0xFF:
                return self._broken()
            if marker == 0xFF or marker in BARE_MARKERS:
                self._at += 1 if marker == 0xFF else 2
            elif marker == END_OF_IMAGE and self._has_scan:
                return self._complete(self._at + 2)
            elif marker == START_OF_IMAGE and self._at == 2:
                del buffer[:2]  # some cameras send this marker twice
            elif marker < 0xC0 or marker in (START_OF_IMAGE, END_OF_IMAGE):
                return self._broken()
            else:
                end = self._segment_end(marker)
                if end is None:
                    return self._broken()
                if end > len(buffer):
                    break
                self._at = end
                if marker == START_OF_SCAN:
                    self._has_scan, self._step = True, self._scan
                    return True
        return self._too_large()

    def _segment_end(self, marker: int) -> int | None:
        """Where the segment ends that begins here, as far as that can be known by now; None where it is none."""
        if self._at + 4 > len(self._buffer):
            return self._at + 4
        end = self._at + 2 + int.from_bytes(self._buffer[self._at + 2 : self._at + 4])
        if end < self._at + 4:  # the length counts its own two bytes
            return None
        # A table holds no text: with a boundary inside, it belongs to a picture that is cut.
        is_cut = marker not in WITH_TEXT and self._boundary_at(self._at, min(end, len(self._buffer))) >= 0
        return None if is_cut else end

    def _scan(self) -> bool:
        """Go through coded data to the marker that ends it, or to a boundary where the picture is cut."""
        found = SCAN_MARKER.search(self._buffer, self._at)
        end = found.start() if found else len(self._buffer)
        boundary = self._boundary_at(self._at, end) if len(self._boundary) >= MIN_BOUNDARY_BYTES else -1
        if boundary >= 0:
            line_end = b"\r\n" if self._buffer[boundary - 2 : boundary] == b"\r\n" else b"\n"
            return self._cut(boundary, line_end)
        if found is None:
            self._at = max(self._at, len(self._buffer) - OVERLAP_BYTES)
            return self._too_large()
        marker = self._buffer[end + 1]
        if marker == END_OF_IMAGE:
            return self._complete(end + 2)
        if marker == START_OF_IMAGE:
            return self._cut(end)
        if marker in CONTINUING:
            self._at, self._step = end, self._segments
        else:
            self._at = end + 2
        return True

    def _complete(self, end: int) -> bool:
        self._found.append(StreamPicture(self._head(end)))
        return self._go_on_at(end)

    def _cut(self, end: int, line_end: bytes = b"") -> bool:
        """Another part or picture begins before this one has its end marker. `line_end` belongs to the boundary."""
        self._found.append(StreamPicture(self._head(end).removesuffix(line_end), ended=False))
        return self._go_on_at(end)

    def _broken(self) -> bool:
        """Here should be a segment: go on at the next part where one begins before the next picture, else here."""
        self.damaged += 1
        start = self._buffer.find(START, self._at)
        boundary = self._boundary_at(2, start if start >= 0 else len(self._buffer))
        return self._go_on_at(boundary if boundary >= 0 else self._at)

    def _too_large(self) -> bool:
        if len(self._buffer) <= self._max_bytes:
            return False
        self._found.append(StreamPicture(b""))
        return self._go_on_at(max(2, len(self._buffer) - OVERLAP_BYTES))

    def _head(self, end: int) -> bytes:
        """The bytes of the picture, which ends here; none where they are too many."""
        with memoryview(self._buffer) as view:
            return bytes(view[:end]) if end <= self._max_bytes else b""

    def _go_on_at(self, at: int) -> bool:
        del self._buffer[:at]
        self._step = self._between_pictures
        return True

    def _take_found(self) -> list[StreamPicture]:
        found, self._found = self._found, []
        return found

    # Boundaries.

    def _expect(self, boundary: bytes) -> None:
        self._boundary = boundary
        if boundary:
            self._boundary_line = re.compile(rb"--" + re.escape(boundary) + rb"(--)?[^\r\n]*")

    def _boundary_at(self, start: int, end: int) -> int:
        """Where a line with the boundary begins in this range of the buffer, or -1."""
        if not self._boundary:
            return -1
        at = self._buffer.find(b"--" + self._boundary, start, end)
        while at >= 0:
            line = at
            while line > start and self._buffer[line - 1] == ord("-"):
                line -= 1
            if line > 0 and self._buffer[line - 1] in b"\r\n":
                return line
            at = self._buffer.find(b"--" + self._boundary, at + 1, end)
        return -1

    def _pass_text(self, size: int) -> None:
        """Drop the text before a picture, and count the parts in it that have content but no picture."""
        text = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._learn_boundary(text)
        at = 0
        for line in self._boundary_line.finditer(text):
            self._read_part_text(text[at : line.start()])
            self.damaged += self._part_has_text
            self._in_part, self._part_has_text = line[1] is None, False
            at = line.end()
        self._read_part_text(text[at:])

    def _read_part_text(self, text: bytes) -> None:
        if self._in_part and text.strip(b"\r\n\t -"):
            self._part_has_text = True

    def _learn_boundary(self, text: bytes) -> None:
        """Take the boundary from the stream where the declared one does not occur in it."""
        self._boundary_seen = self._boundary_seen or self._boundary_line.search(text) is not None
        if not self._boundary_seen and (lines := BOUNDARY_LINE.findall(text)):
            self._expect(lines[-1])
            self._boundary_seen = True
