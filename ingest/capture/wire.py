"""What a capture process tells its agent, over one pipe: length-prefixed messages, encoded frames and counts only.

A pipe and not shared memory: at the size of encoded frames a copy costs a hundredth of the JPEG encoder, and a
pipe ends by itself when either side dies, whichever way it dies.
"""

import json
import os
import select
import struct
import time
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

HEADER = struct.Struct("!BII")
READ_BYTES = 1 << 20
# A child whose memory OpenCV has overwritten must not make the agent reserve gigabytes.
MAX_META_BYTES = 1 << 20


class Tell(IntEnum):
    """OPENED: the source answered. FRAME: one to publish. STATS: counts since the child's start, once a second.

    REFUSED: an image that cannot be sent. FAILED: the source, in a sentence. ENDED: a finite source is through.
    """

    OPENED = 1
    FRAME = 2
    STATS = 3
    REFUSED = 4
    FAILED = 5
    ENDED = 6


@dataclass(frozen=True, slots=True)
class Message:
    tell: Tell
    meta: dict[str, Any]
    body: bytes = b""


class WireError(Exception):
    """What came is no message of ours: the child is not to be trusted any more."""


def write(fd: int, message: Message) -> None:
    """Write all of it; blocks while the pipe is full. Raises BrokenPipeError when the agent is gone."""
    meta = json.dumps(message.meta, separators=(",", ":")).encode()
    parts = [HEADER.pack(message.tell, len(meta), len(message.body)) + meta, message.body]
    for part in parts:
        view = memoryview(part)
        while view:
            view = view[os.write(fd, view) :]


class Reader:
    """Messages from a pipe, none ever waited for longer than it was asked to."""

    def __init__(self, fd: int, max_body_bytes: int) -> None:
        self._fd, self._max_body_bytes = fd, max_body_bytes
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def read(self, timeout_s: float) -> Message | None:
        """The next message, None when none is complete in time. Raises EOFError at the end, WireError on garbage."""
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

    def _take(self) -> Message | None:
        if len(self._buffer) < HEADER.size:
            return None
        tell, meta_bytes, body_bytes = HEADER.unpack_from(self._buffer)
        if tell not in Tell._value2member_map_ or meta_bytes > MAX_META_BYTES or body_bytes > self._max_body_bytes:
            raise WireError(f"tell {tell}, {meta_bytes} + {body_bytes} bytes")
        end = HEADER.size + meta_bytes + body_bytes
        if len(self._buffer) < end:
            return None
        body_start = HEADER.size + meta_bytes
        try:
            meta = json.loads(bytes(self._buffer[HEADER.size : body_start]))
        except ValueError as error:
            raise WireError(str(error)) from None
        message = Message(Tell(tell), meta, bytes(self._buffer[body_start:end]))
        del self._buffer[:end]
        return message


@dataclass(frozen=True, slots=True)
class Task:
    """What an agent asks of a capture process: the first line of its stdin, because arguments show up in `ps`.

    `skip_frames`: how many frames of a finite source an earlier process already delivered.
    """

    kind: str
    address: str
    fps: float
    loop: bool
    jpeg_quality: int
    open_timeout_ms: int
    read_timeout_ms: int
    max_image_bytes: int
    skip_frames: int = 0

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> "Task":
        return Task(**json.loads(line))
