"""What a capture process sends to its agent over one pipe: length-prefixed messages with encoded frames and counts.

A pipe and not shared memory: copying an encoded frame costs a hundredth of encoding it, and a pipe closes by itself
when the process at either end dies, in whatever way.
"""

import json
import os
import select
import struct
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

HEADER = struct.Struct("!BII")
READ_BYTES = 1 << 16  # what a pipe holds
# A capture process whose memory a codec has overwritten must not make the agent reserve gigabytes.
MAX_META_BYTES = 1 << 20


class MessageKind(IntEnum):
    """What a message says.

    OPENED: the source answers. FRAME: an image to publish. STATS: counts since the reading began, once a second.
    REFUSED: an image that cannot be sent. FAILED: why the source cannot be read, in a sentence, and how many seconds
    the camera asked to be left alone. ENDED: a finite source is at its end. MISSED: since the last message of this
    kind, requests brought no picture; the source goes on.
    """

    OPENED = 1
    FRAME = 2
    STATS = 3
    REFUSED = 4
    FAILED = 5
    ENDED = 6
    MISSED = 7


@dataclass(frozen=True, slots=True)
class CaptureMessage:
    """One message of a capture process; `body` is the image of a FRAME."""

    kind: MessageKind
    meta: dict[str, Any]
    body: bytes = b""


class WireError(Exception):
    """The bytes on the pipe are not a message: the capture process is not to be trusted any more."""


def write_message(fd: int, message: CaptureMessage) -> None:
    """Write the whole message; blocks while the pipe is full. Raises BrokenPipeError when the agent is gone."""
    meta = json.dumps(message.meta, separators=(",", ":")).encode()
    parts = [HEADER.pack(message.kind, len(meta), len(message.body)) + meta, message.body]
    for part in parts:
        view = memoryview(part)
        while view:
            view = view[os.write(fd, view) :]


class MessageReader:
    """Reads messages from a pipe; it never waits longer than the caller asks for."""

    def __init__(self, fd: int, max_body_bytes: int) -> None:
        self._fd, self._max_body_bytes = fd, max_body_bytes
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def read(self, timeout_s: float) -> CaptureMessage | None:
        """The next message; None when none is complete in time. Raises EOFError at the end, WireError on garbage."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            message = self._take()
            if message is not None:
                return message
            wait_ms = max(0.0, deadline_s - time.monotonic()) * 1000
            if not self._poll.poll(wait_ms):
                return None
            chunk = os.read(self._fd, READ_BYTES)
            if not chunk:
                raise EOFError
            self._buffer += chunk

    def _take(self) -> CaptureMessage | None:
        if len(self._buffer) < HEADER.size:
            return None
        kind, meta_bytes, body_bytes = HEADER.unpack_from(self._buffer)
        known = kind in MessageKind._value2member_map_
        if not known or meta_bytes > MAX_META_BYTES or body_bytes > self._max_body_bytes:
            raise WireError(f"kind {kind}, {meta_bytes} + {body_bytes} bytes")
        end = HEADER.size + meta_bytes + body_bytes
        if len(self._buffer) < end:
            return None
        body_start = HEADER.size + meta_bytes
        try:
            meta = json.loads(bytes(self._buffer[HEADER.size : body_start]))
        except ValueError as error:
            raise WireError(str(error)) from None
        message = CaptureMessage(MessageKind(kind), meta, bytes(self._buffer[body_start:end]))
        del self._buffer[:end]
        return message
