"""Motion JPEG as cameras frame it: the bytes of streams, and a camera that sends them over HTTP."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import simplejpeg

MULTIPART = "multipart/x-mixed-replace; boundary=frame"
TEXT_PART = b"--frame\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nmotion=false\r\n"


def picture(number: int, side: int = 64) -> bytes:
    """A picture with its number in a comment, so that all differ."""
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    jpeg: bytes = simplejpeg.encode_jpeg(pixels, 90, "BGR", "420")
    text = b"picture %d" % number
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + jpeg[2:]


def number_of(jpeg: bytes) -> int:
    """The number that `picture` wrote."""
    assert jpeg[6:14] == b"picture ", jpeg[:20]
    return int(jpeg[14 : 4 + int.from_bytes(jpeg[4:6])])


def part(
    body: bytes, *headers: str, boundary: str = "--frame", end: str = "\r\n", length: int | str | None = None
) -> bytes:
    """One part; `length` is what it declares, by default the truth."""
    declared = [] if length == "" else [f"Content-Length: {len(body) if length is None else length}"]
    lines = [boundary, "Content-Type: image/jpeg", *declared, *headers, "", ""]
    return end.join(lines).encode() + body + end.encode()


@dataclass(frozen=True)
class Framing:
    """How one kind of camera sends picture `number`. `loses`: which pictures are not whole; `damaged`: parts to count.

    `preamble` comes before the first part.
    """

    frame: Callable[[int, bytes], bytes]
    content_type: str = MULTIPART
    preamble: bytes = b""
    loses: Callable[[int], bool] = lambda _number: False
    damaged: Callable[[int], bool] = lambda _number: False


def fourth(number: int) -> bool:
    return number % 4 == 2


def _cut_at(share: float) -> Callable[[int, bytes], bytes]:
    def frame(number: int, jpeg: bytes) -> bytes:
        return part(jpeg[: int(len(jpeg) * share)] if fourth(number) else jpeg)

    return frame


FRAMINGS = {
    "as the standard says": Framing(lambda _, jpeg: part(jpeg)),
    "no boundary before the first part": Framing(
        lambda _, jpeg: part(jpeg).removeprefix(b"--frame\r\n") + b"--frame\r\n"
    ),
    "a preamble": Framing(lambda _, jpeg: part(jpeg), preamble=b"This is a message\r\n-- of several parts\r\n"),
    "a page before the first part": Framing(lambda _, jpeg: part(jpeg), preamble=b"<html>" * 5_000),
    "declared with dashes": Framing(lambda _, jpeg: part(jpeg), "multipart/x-mixed-replace;boundary=--frame"),
    "declared with space and quotes": Framing(
        lambda _, jpeg: part(jpeg), 'multipart/x-mixed-replace; boundary ="frame"'
    ),
    "declared with another boundary": Framing(lambda _, jpeg: part(jpeg), "multipart/x-mixed-replace; boundary=other"),
    "declared without a boundary": Framing(lambda _, jpeg: part(jpeg), "multipart/x-mixed-replace"),
    "declared as a picture": Framing(lambda _, jpeg: part(jpeg), "image/jpeg"),
    "declared as text": Framing(lambda _, jpeg: part(jpeg), "text/plain"),
    "declared as a picture, no boundary first": Framing(
        lambda _, jpeg: part(jpeg).removeprefix(b"--frame\r\n") + b"--frame\r\n", "image/jpeg"
    ),
    "no length": Framing(lambda _, jpeg: part(jpeg, length="")),
    "length 0": Framing(lambda _, jpeg: part(jpeg, length=0)),
    "length too large": Framing(lambda _, jpeg: part(jpeg, length=len(jpeg) + 64)),
    "length too small": Framing(lambda _, jpeg: part(jpeg, length=len(jpeg) - 2)),
    "length of a gigabyte": Framing(lambda _, jpeg: part(jpeg, length=1 << 30)),
    "length that is no number": Framing(lambda _, jpeg: part(jpeg, length="-1, many")),
    "lines that end with LF": Framing(lambda _, jpeg: part(jpeg, end="\n")),
    "no line end after the picture": Framing(lambda _, jpeg: part(jpeg).removesuffix(b"\r\n")),
    "header lines that are none": Framing(lambda _, jpeg: part(jpeg, "here be pictures", ": empty", "X" * 3_000)),
    "no headers": Framing(lambda _, jpeg: b"--frame\r\n\r\n" + jpeg + b"\r\n"),
    "every boundary twice": Framing(lambda _, jpeg: b"--frame\r\n" + part(jpeg)),
    "a closing boundary after every part": Framing(lambda _, jpeg: part(jpeg) + b"--frame--\r\n"),
    "padding after the picture": Framing(lambda _, jpeg: part(jpeg + b"\0" * 500)),
    "nothing between pictures": Framing(lambda _, jpeg: jpeg, "video/x-motion-jpeg"),
    "text parts": Framing(lambda number, jpeg: (TEXT_PART if fourth(number) else b"") + part(jpeg), damaged=fourth),
    "empty parts": Framing(lambda number, jpeg: (part(b"") if fourth(number) else b"") + part(jpeg), damaged=fourth),
    "sound parts": Framing(
        lambda number, jpeg: (part(b"\xff" * 800) if fourth(number) else b"") + part(jpeg), damaged=fourth
    ),
    "pictures cut in the scan": Framing(_cut_at(0.7), loses=fourth, damaged=fourth),
    "pictures cut in the tables": Framing(_cut_at(0.03), loses=fourth, damaged=fourth),
    "pictures without an end marker": Framing(lambda _, jpeg: part(jpeg.removesuffix(b"\xff\xd9"))),
    "the same, and LF": Framing(lambda _, jpeg: part(jpeg.removesuffix(b"\xff\xd9"), end="\n")),
}


def stream(framing: Framing, pictures: list[bytes]) -> bytes:
    """A whole stream of this framing, with a closing boundary."""
    parts = b"".join(framing.frame(number, jpeg) for number, jpeg in enumerate(pictures))
    return framing.preamble + parts + b"--frame--\r\n"


class MotionCamera:
    """A camera on a socket of its own, which sends whatever bytes a test wants. `address` is `http://127.0.0.1:PORT`.

    `send(connection)` writes the whole answer; the connection is closed behind it. `answers` counts requests.
    """

    def __init__(self, send: Callable[[socket.socket], None]) -> None:
        self.answers = 0
        self._send = send
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._server.getsockname()[1]}/video"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65536) or b"\r\n\r\n"
                self.answers += 1
                self._send(connection)
            except OSError:
                return  # the viewer went away

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@contextmanager
def motion_camera(send: Callable[[socket.socket], None]) -> Iterator[MotionCamera]:
    camera = MotionCamera(send)
    try:
        yield camera
    finally:
        camera.close()


def head(content_type: str, *lines: str) -> bytes:
    """The head of an answer."""
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Type: {content_type}", *lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    """In the chunked transfer encoding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def endless(framing: Framing, period_s: float = 0.02) -> Callable[[socket.socket], None]:
    """Sends numbered pictures in this framing without an end."""

    def send(connection: socket.socket) -> None:
        connection.sendall(head(framing.content_type) + framing.preamble)
        for number in range(1_000_000):
            connection.sendall(framing.frame(number, picture(number)))
            time.sleep(period_s)

    return send
