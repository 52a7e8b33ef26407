"""Reads an answer of HTTP/1 as leniently as curl and browsers do. Pure: bytes in, head and body out.

Cameras send header lines without a colon, lines that end with LF, `ICY 200 OK`, lengths that are a little off, and
chunks without an end. A connection carries one answer at a time, so whatever comes before the next request belongs to
it. Where a standard is followed it is RFC 9112.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_HEAD_BYTES = 64 * 1024
MAX_CHUNK_LINE_BYTES = 1024
MAX_INFLATED_BYTES = 1 << 20
STATUS_LINE = re.compile(rb"(HTTP(?:/(\d+(?:\.\d+)?))?|ICY)[ \t]+(\d{3})(?!\d)(.*)", re.IGNORECASE | re.DOTALL)
BLANK_LINES = re.compile(rb"[\r\n]+")
HEAD_END = re.compile(rb"\n\r*\n")
STARTS = (b"HTTP", b"ICY")
# HTTP/0.9 has no head: a picture, or the parts of a stream, at once.
HEADLESS_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"--")
NO_BODY = (204, 304)


class BadAnswer(Exception):
    """What came is no answer of HTTP, or not all of one; the message is a sentence without a subject."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and header of an answer, its line folds undone. `stays_open`: the camera keeps the connection."""

    status: int
    reason: str
    headers: tuple[tuple[bytes, bytes], ...]
    stays_open: bool

    def values(self, name: bytes) -> list[bytes]:
        """The values of all lines with this name, which is in lower case."""
        return [value for given, value in self.headers if given.lower() == name]


def take_head(buffer: bytearray, is_first: bool = True) -> Head | None:
    """Take the head of an answer out of the buffer; None where it is not complete. Raises BadAnswer.

    Blank lines before it, and answers that only announce it (100 to 199), are dropped. `is_first`: no other answer came
    over this connection, so one without a head is no rest of another.
    """
    while True:
        if blank := BLANK_LINES.match(buffer):
            del buffer[: blank.end()]
        if is_first and _may_begin(buffer, HEADLESS_STARTS, whole=True):
            return Head(200, "", (), stays_open=False)
        if not _may_begin(buffer, STARTS + (HEADLESS_STARTS if is_first else ())):
            raise BadAnswer("is not HTTP")
        end = HEAD_END.search(buffer)
        if (end.end() if end else len(buffer)) > MAX_HEAD_BYTES:
            raise BadAnswer(f"has a header of more than {MAX_HEAD_BYTES} bytes")
        if end is None:
            return None
        head = _parsed(bytes(buffer[: end.start()]))
        del buffer[: end.end()]
        if head.status >= 200:
            return head


def _may_begin(buffer: bytearray, starts: tuple[bytes, ...], whole: bool = False) -> bool:
    """Whether the buffer begins with one of these, or may do so when more has come."""
    begin = bytes(buffer[:4]).upper()
    return any(begin.startswith(start) or (not whole and start.startswith(begin)) for start in starts)


def _parsed(text: bytes) -> Head:
    first, *lines = text.replace(b"\0", b"").split(b"\n")
    found = STATUS_LINE.fullmatch(first.strip())
    if found is None:
        raise BadAnswer("has a first line that is not HTTP")
    version, status = found[2] or b"1.0", int(found[3])
    headers: list[tuple[bytes, bytes]] = []
    can_go_on = False
    for line in lines:
        if can_go_on and line[:1] in (b" ", b"\t"):
            headers[-1] = (headers[-1][0], headers[-1][1] + b" " + line.strip())
            continue
        name, colon, value = (part.strip() for part in line.replace(b"\r", b" ").partition(b":"))
        can_go_on = bool(colon and name)
        if can_go_on:
            headers.append((name, value))
    words = b",".join(value for name, value in headers if name.lower() == b"connection").lower()
    stays_open = b"close" not in words and (version >= b"1.1" or b"keep-alive" in words)
    reason = re.sub(r"[^ -~]", "?", found[4].strip().decode("latin-1"))[:80]
    return Head(status, reason, tuple(headers), stays_open)


class Body:
    """The body of one answer. `length`: how many bytes it announces; None where it announces none, or several numbers.

    `ended`: all of it has come. `is_exact`: nothing came after it, so the connection can take the next request.
    """

    def __init__(self, head: Head) -> None:
        self.is_exact = True
        chunked = b"chunked" in b",".join(head.values(b"transfer-encoding")).lower()
        self._announced = _length(head)
        self.length = None if chunked else self._announced
        self._chunked, self._chunks = chunked, 0
        self._held = bytearray()
        self._got = self._left_in_chunk = 0
        self.ended = head.status in NO_BODY or self.length == 0

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body in what has come. Raises BadAnswer where a chunk has no size."""
        if self.ended and self.length is None:
            self.is_exact = self.is_exact and not data.strip(b"\r\n")
            return b""
        if self._chunked:
            return self._feed_chunks(data)
        self._got += len(data)
        if self.length is not None and self._got >= self.length:
            excess = data[max(0, len(data) - (self._got - self.length)) :]
            self.ended = True
            if not excess.strip(b"\r\n"):
                return data[: len(data) - len(excess)]
            self.is_exact = False  # it announced too little
        return data

    def finish(self) -> bytes:
        """The connection has ended: the last bytes of the body. Raises BadAnswer where some are missing."""
        self.is_exact = False
        if self.ended:
            return b""
        if self._chunked and self._chunks:
            raise BadAnswer("ends before its last chunk")
        if not self._chunked and self.length is not None:
            raise BadAnswer(f"ends after {self._got} of {self.length} bytes")
        self.ended = True
        return bytes(self._held)

    def _feed_chunks(self, data: bytes) -> bytes:
        self._held += data
        found = bytearray()
        while self._held and not self.ended:
            if self._left_in_chunk:
                piece = self._held[: self._left_in_chunk]
                del self._held[: len(piece)]
                self._left_in_chunk -= len(piece)
                found += piece
                continue
            end = self._held.find(b"\n")
            if end < 0 and len(self._held) <= MAX_CHUNK_LINE_BYTES:
                break
            line = bytes(self._held[: max(0, end)]).strip()
            if end >= 0 and not line:  # the line end behind a chunk
                del self._held[: end + 1]
                continue
            size = line.partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
                return bytes(found) or self._not_chunked()
            del self._held[: end + 1]
            self._chunks += 1
            self._left_in_chunk = int(size, 16)
            if not self._left_in_chunk:
                self.ended = True
                self.is_exact = bytes(self._held) in (b"", b"\n", b"\r\n")
        return bytes(found)

    def _not_chunked(self) -> bytes:
        """No size where one must be. Before the first chunk, the camera only says that it sends chunks."""
        if self._chunks:
            raise BadAnswer("has a chunk without a size")
        data = bytes(self._held)
        self._held.clear()
        self._chunked, self.length = False, self._announced
        return self.feed(data)


def _length(head: Head) -> int | None:
    numbers = {part.strip() for value in head.values(b"content-length") for part in value.split(b",")}
    [only] = numbers if len(numbers) == 1 else [b""]
    return int(only) if re.fullmatch(rb"\d{1,15}", only) else None


def inflated(pieces: Iterable[bytes], coding: bytes) -> Iterator[bytes]:
    """The body without its coding (gzip or deflate), in pieces of bounded size; bytes that have none are unchanged.

    Raises BadAnswer.
    """
    pieces = iter(pieces)
    begin = b""
    for piece in pieces:
        begin += piece
        if len(begin) >= 2:
            break
    is_gzip = begin.startswith(b"\x1f\x8b") and b"gzip" in coding.lower()
    is_zlib = begin.startswith(b"\x78") and b"deflate" in coding.lower()
    if not is_gzip and not is_zlib:
        if begin:
            yield begin
        yield from pieces
        return
    inflating = zlib.decompressobj(wbits=47)  # either header
    try:
        while begin and not inflating.eof:
            yield inflating.decompress(begin, MAX_INFLATED_BYTES)
            begin = inflating.unconsumed_tail or next(pieces, b"")
    except zlib.error:
        raise BadAnswer("is compressed, and broken") from None
