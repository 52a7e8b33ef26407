"""Answers of HTTP as cameras send them, and not as RFC 9112 has them: each holds one whole picture."""

import gzip
import zlib
from dataclasses import dataclass

from tests.support.polled_cameras import JPEG
from tests.support.socket_camera import head, whole

TYPE = "Content-Type: image/jpeg"
LENGTH = f"Content-Length: {len(JPEG)}"
PLAIN = (TYPE, LENGTH)


@dataclass(frozen=True, slots=True)
class Odd:
    """`data`: the answer. `stays_open`: the camera keeps the connection. `keeps`: the client goes on over it."""

    data: bytes
    stays_open: bool = True
    keeps: bool = True


def begun(first: str, *lines: str, end: str = "\r\n") -> bytes:
    """A head whose first line, and line ends, may be any."""
    return (end.join([first, *lines]) + end * 2).encode("latin-1")


def chunks(*pieces: bytes, size: str = "%x", last: bytes = b"0\r\n\r\n") -> bytes:
    framed = [(size % len(piece)).encode() + b"\r\n" + piece + b"\r\n" for piece in pieces]
    return head("200 OK", TYPE, "Transfer-Encoding: chunked") + b"".join(framed) + last


def announcing(length: int | str, *more: str) -> bytes:
    return head("200 OK", TYPE, f"Content-Length: {length}", *more) + JPEG


HALF = len(JPEG) // 2
ANSWERS = {
    "as the standard says": Odd(whole(JPEG)),
    "a header line without a colon": Odd(head("200 OK", "Server here", *PLAIN) + JPEG),
    "a header line that is only a colon": Odd(head("200 OK", ":", ": x", "===", *PLAIN) + JPEG),
    "a space before the colon": Odd(head("200 OK", f"Content-Length : {len(JPEG)}", TYPE) + JPEG),
    "a name that is no token": Odd(head("200 OK", "(c) maker@home: 1", *PLAIN) + JPEG),
    "lines that end with LF": Odd(begun("HTTP/1.1 200 OK", *PLAIN, end="\n") + JPEG),
    "lines that end with CR CR LF": Odd(begun("HTTP/1.1 200 OK", *PLAIN, end="\r\r\n") + JPEG),
    "blank lines first": Odd(b"\r\n\r\n\n" + whole(JPEG)),
    "blank lines after the body": Odd(whole(JPEG) + b"\r\n\r\n"),
    "ICY": Odd(begun("ICY 200 OK", *PLAIN) + JPEG, keeps=False),
    "no reason": Odd(begun("HTTP/1.1 200", *PLAIN) + JPEG),
    "no version": Odd(begun("HTTP 200 OK", *PLAIN) + JPEG, keeps=False),
    "spaces and lower case": Odd(begun("http/1.1   200   ok", *PLAIN) + JPEG),
    "version 1.0 that closes": Odd(begun("HTTP/1.0 200 OK", *PLAIN) + JPEG, stays_open=False, keeps=False),
    "version 1.0 that stays": Odd(begun("HTTP/1.0 200 OK", "Connection: Keep-Alive", *PLAIN) + JPEG),
    "a reason in another script": Odd("HTTP/1.1 200 成功\r\n".encode() + begun(*PLAIN) + JPEG),
    "header bytes of any script": Odd(head("200 OK", "Server: caf\xe9 \x80\x01", *PLAIN) + JPEG),
    "a zero byte in the header": Odd(head("200 OK", "Server: a\0b", *PLAIN) + JPEG),
    "a header line that is folded": Odd(head("200 OK", "Content-Type: image/\r\n jpeg", LENGTH) + JPEG),
    "a long header": Odd(head("200 OK", f"X-Long: {'x' * 60_000}", *PLAIN) + JPEG),
    "continue first": Odd(begun("HTTP/1.1 100 Continue") + begun("HTTP/1.1 103 Early", "Link: x") + whole(JPEG)),
    "the same length twice": Odd(announcing(len(JPEG), f"Content-Length: {len(JPEG)}")),
    "the same length in one line": Odd(announcing(f"{len(JPEG)}, {len(JPEG)}")),
    "two lengths, the first too large": Odd(announcing(len(JPEG) + 9, f"Content-Length: {len(JPEG)}"), keeps=False),
    "two lengths, the first too small": Odd(announcing(HALF, f"Content-Length: {len(JPEG)}"), keeps=False),
    "a length that is no number": Odd(announcing("many"), keeps=False),
    "a length below 0": Odd(announcing(-1), keeps=False),
    "a length of 5000 digits": Odd(announcing("9" * 5000), keeps=False),
    "a length of 0": Odd(announcing(0), keeps=False),
    "a length 3 bytes too small": Odd(announcing(len(JPEG) - 3), keeps=False),
    "a length 300 bytes too small": Odd(announcing(len(JPEG) - 300), keeps=False),
    "a length 3 bytes too large": Odd(announcing(len(JPEG) + 3), keeps=False),
    "a length 300 bytes too large, then closed": Odd(announcing(len(JPEG) + 300), stays_open=False, keeps=False),
    "no length, and it stays open": Odd(head("200 OK", TYPE) + JPEG, keeps=False),
    "no length, and it closes": Odd(head("200 OK", TYPE) + JPEG, stays_open=False, keeps=False),
    "chunks": Odd(chunks(JPEG[:9], JPEG[9:])),
    "chunks with sizes in upper case": Odd(chunks(JPEG, size="%X")),
    "chunks with leading zeros and spaces": Odd(chunks(JPEG, size="  000%x  ")),
    "chunks with extensions": Odd(chunks(JPEG[:9], JPEG[9:], size='%x;name="a;b"')),
    "chunks with trailers": Odd(chunks(JPEG, last=b"0\r\nDigest: x\r\n\r\n"), keeps=False),
    "chunks whose lines end with LF": Odd(chunks(JPEG).replace(b"%x\r\n" % len(JPEG), b"%x\n" % len(JPEG))),
    "chunks without a last one, and it stays open": Odd(chunks(JPEG, last=b""), keeps=False),
    "chunks without a last one, and it closes": Odd(chunks(JPEG, last=b""), stays_open=False, keeps=False),
    "chunks without a last one, called a page": Odd(
        chunks(JPEG, last=b"").replace(b"image/jpeg", b"text/html"), keeps=False
    ),
    "chunks without a last one, called nothing": Odd(
        chunks(JPEG, last=b"").replace(TYPE.encode() + b"\r\n", b""), keeps=False
    ),
    "chunks and a wrong length": Odd(
        chunks(JPEG).replace(b"Transfer", b"Content-Length: 7\r\nTransfer"),
    ),
    "said to be chunks": Odd(head("200 OK", TYPE, "Transfer-Encoding: chunked") + JPEG, keeps=False),
    "said to be chunks, with a length": Odd(head("200 OK", *PLAIN, "Transfer-Encoding: chunked") + JPEG),
    "a chunk whose size counts its line end": Odd(
        head("200 OK", TYPE, "Transfer-Encoding: chunked") + b"%x\r\n" % (len(JPEG) + 2) + JPEG + b"\r\n0\r\n\r\n"
    ),
    "a chunk without a size after the picture": Odd(chunks(JPEG, last=b"zz\r\n\r\n"), keeps=False),
    "no head at all": Odd(JPEG, stays_open=False, keeps=False),
    "compressed though nobody asked": Odd(whole(gzip.compress(JPEG), "image/jpeg", "200 OK", "Content-Encoding: gzip")),
    "compressed by deflate": Odd(whole(zlib.compress(JPEG), "image/jpeg", "200 OK", "Content-Encoding: deflate")),
    "said to be compressed": Odd(whole(JPEG, "image/jpeg", "200 OK", "Content-Encoding: gzip")),
    "said to have an unknown coding": Odd(whole(JPEG, "image/jpeg", "200 OK", "Content-Encoding: br, x")),
}
