"""Reads the body of an upload within its limits, and takes the files out of a multipart one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ingest.gateway.limits import Room
from ingest.gateway.problems import Problem

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
# Of a body that is too large so much is read and thrown away: a client that still sends would not see the answer.
DISCARD_BYTES = 128 * 1024 * 1024
DISCARD_S = 10.0
MAX_NAME = 255
# Parts without a file cost time of the event loop as well.
MAX_OTHER_PARTS = 100


@dataclass(frozen=True, slots=True)
class Upload:
    """One file: its bytes, and the name that its sender gave it."""

    data: bytes
    name: str = ""


@asynccontextmanager
async def read_body(
    headers: Mapping[str, str], receive: Receive, room: Room, max_bytes: int, timeout_s: float
) -> AsyncIterator[bytes]:
    """A block with the whole body. Raises Problem 413 when it is larger, 408 when it takes longer, 429 without room.

    Room is taken for the declared size before anything is read, and for a body without one for the largest. It is given
    back at the end of the block.
    """
    declared = headers.get("content-length", "")
    size = int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 19 else None
    if size is not None and size > max_bytes:
        if headers.get("expect", "").lower() != "100-continue":
            await _discard(receive)
        raise _too_large(max_bytes)
    reserved = max_bytes if size is None else size
    room.take(reserved)
    try:
        yield await _read_within(receive, max_bytes, timeout_s)
    finally:
        room.give(reserved)


async def _read_within(receive: Receive, max_bytes: int, timeout_s: float) -> bytes:
    try:
        async with asyncio.timeout(timeout_s):
            chunks = await _read(receive, max_bytes)
    except TimeoutError:
        raise Problem(408, "slow_body", f"the body did not come within {timeout_s:g} s") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _read(receive: Receive, max_bytes: int) -> list[bytes]:
    chunks: list[bytes] = []
    total = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "cut_off", "the connection ended within the body")
        chunk = message.get("body", b"")
        total += len(chunk)
        if total > max_bytes:
            await _discard(receive)
            raise _too_large(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body"):
            return chunks


async def _discard(receive: Receive) -> None:
    left = DISCARD_BYTES
    try:
        async with asyncio.timeout(DISCARD_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b"")) + 1
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
    except TimeoutError:
        return


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, "too_large", f"the body of a request may have {max_bytes} bytes")


def uploads_in(content_type: str, body: bytes, name: str, max_files: int) -> list[Upload]:
    """The files of a multipart body, or the body itself as one file. Raises Problem 400, 413 or 415."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return [Upload(body, name[:MAX_NAME])]
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise Problem(400, "bad_multipart", "the content type of a multipart body names no boundary")
    parts = _Parts(max_files)
    try:
        parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Problem(400, "bad_multipart", f"the multipart body cannot be read: {error}") from error
    if not parts.is_whole:
        raise Problem(400, "bad_multipart", "the multipart body ends before its last boundary")
    if not parts.files:
        raise Problem(400, "no_file", "the multipart body has no file: `curl -F file=@picture.jpg`")
    return parts.files


class _Parts:
    """Collects the parts that are files; other fields are passed over."""

    def __init__(self, max_files: int) -> None:
        self.files: list[Upload] = []
        self.is_whole = False
        self._max_files, self._parts = max_files, 0
        self._header, self._value, self._disposition = b"", b"", b""
        self._data: list[bytes] = []

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._on_end,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self._max_files + MAX_OTHER_PARTS:
            raise Problem(413, "too_many_parts", f"a request may have {self._max_files + MAX_OTHER_PARTS} parts")
        self._disposition, self._data = b"", []

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _end(self) -> None:
        options = parse_options_header(self._disposition)[1]
        if b"filename" not in options:
            return
        if len(self.files) == self._max_files:
            raise Problem(413, "too_many_files", f"a request may have {self._max_files} files")
        name = options[b"filename"].decode(errors="replace")
        self.files.append(Upload(b"".join(self._data), name[:MAX_NAME]))

    def _on_end(self) -> None:
        self.is_whole = True
