"""HTTP/1.1 over sockets for one camera, as lenient as `ingest.sources.http1`; the rest of HTTP is the client's."""

import base64
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import httpcore2
import httpx2

from ingest.sources.http1 import BadAnswer, Body, Head, inflated, take_head

READ_BYTES = 64 * 1024
MAX_KEPT = 4
# A page is not worth more: a refusal, a redirect, an error.
MAX_PAGE_BYTES, MAX_PAGE_S = 64 * 1024, 0.5
# Once a picture is whole, only what is on its way may still come.
GRACE_S = 0.1
Origin = tuple[str, str, int]


class CameraTransport(httpx2.BaseTransport):
    """Sends GETs and keeps connections. `proxy`: http://HOST:PORT or https://HOST:PORT, or empty.

    Raises errors of httpx2; the extension `body` of a response is its AnswerBody.
    """

    def __init__(self, context: ssl.SSLContext, proxy: str) -> None:
        self._context, self._proxy = context, proxy
        self._kept: dict[Origin, Wire] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url, limits = request.url, request.extensions["timeout"]
        origin = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        with _errors():
            if url.scheme not in ("http", "https"):
                raise httpx2.UnsupportedProtocol(f"its address begins with {url.scheme}://")
            wire = self._take_kept(origin) or self._connect(origin, limits["connect"])
            try:
                wire.write(self._written(request), limits["write"])
                head = wire.read_head(limits["read"])
                body = AnswerBody(head, wire, limits["read"], lambda: self._keep(origin, wire))
            except BaseException:
                wire.close()
                raise
        # The body has no coding any more, and no framing.
        headers = [each for each in head.headers if each[0].lower() not in (b"content-encoding", b"transfer-encoding")]
        extensions = {"reason_phrase": head.reason.encode(), "body": body}
        return httpx2.Response(head.status, headers=headers, stream=body, extensions=extensions)

    def close(self) -> None:
        for wire in self._kept.values():
            wire.close()
        self._kept.clear()

    def _take_kept(self, origin: Origin) -> "Wire | None":
        """The kept connection, unless the camera has closed it or has sent something that nobody asked for."""
        wire = self._kept.pop(origin, None)
        if wire is None or not wire.is_readable():
            return wire
        wire.close()
        return None

    def _keep(self, origin: Origin, wire: "Wire") -> None:
        self._kept[origin] = wire
        while len(self._kept) > MAX_KEPT:
            self._kept.pop(next(iter(self._kept))).close()

    def _connect(self, origin: Origin, timeout_s: float) -> "Wire":
        scheme, host, port = origin
        proxy = urlsplit(self._proxy)
        if not proxy.hostname:
            wire = Wire.to(host, port, timeout_s)
        else:
            wire = Wire.to(proxy.hostname, proxy.port or (443 if proxy.scheme == "https" else 80), timeout_s)
        try:
            if proxy.hostname and proxy.scheme == "https":
                wire.start_tls(ssl.create_default_context(), proxy.hostname, timeout_s)
            if proxy.hostname and scheme == "https":
                self._tunnel(wire, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", timeout_s)
            if scheme == "https":
                wire.start_tls(self._context, host, timeout_s)
        except BaseException:
            wire.close()
            raise
        return wire

    def _tunnel(self, wire: "Wire", target: str, timeout_s: float) -> None:
        """Ask the proxy for a connection to the camera itself."""
        lines = [f"CONNECT {target} HTTP/1.1".encode(), f"Host: {target}".encode(), *self._proxy_lines()]
        wire.write(b"\r\n".join([*lines, b"", b""]), timeout_s)
        head = wire.read_head(timeout_s)
        if not 200 <= head.status < 300:
            raise httpx2.ProxyError(f"the proxy answers HTTP {head.status} {head.reason}".rstrip())

    def _proxy_lines(self) -> list[bytes]:
        parts = urlsplit(self._proxy)
        if parts.username is None:
            return []
        given = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return [b"Proxy-Authorization: Basic " + base64.b64encode(given.encode())]

    def _written(self, request: httpx2.Request) -> bytes:
        target, lines = request.url.raw_path, [name + b": " + value for name, value in request.headers.raw]
        if self._proxy and request.url.scheme == "http":
            target = b"http://" + request.url.netloc + target
            lines += self._proxy_lines()
        return b"\r\n".join([request.method.encode() + b" " + target + b" HTTP/1.1", *lines, b"", b""])


class Wire:
    """One connection; `buffer` has what came and was not taken."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self.buffer = bytearray()
        self._stream, self._answers = stream, 0

    @classmethod
    def to(cls, host: str, port: int, timeout_s: float) -> "Wire":
        return cls(httpcore2.SyncBackend().connect_tcp(host, port, timeout_s))

    def start_tls(self, context: ssl.SSLContext, host: str, timeout_s: float) -> None:
        self._stream = self._stream.start_tls(context, host, timeout_s)
        self._answers = 0

    def is_readable(self) -> bool:
        return bool(self._stream.get_extra_info("is_readable"))

    def write(self, data: bytes, timeout_s: float) -> None:
        try:
            self._stream.write(data, timeout_s)
        except httpcore2.WriteError:
            if not self.is_readable():  # a camera may answer and close before it has read the request
                raise

    def read(self, timeout_s: float) -> bytes:
        return self._stream.read(READ_BYTES, timeout_s)

    def read_head(self, timeout_s: float) -> Head:
        """The head of the next answer, which must be complete in this time."""
        until_s = time.monotonic() + timeout_s
        while (head := take_head(self.buffer, is_first=not self._answers)) is None:
            data = self.read(max(0.001, until_s - time.monotonic()))
            if not data:
                raise BadAnswer("ends in its header" if self.buffer else "is none: it closes the connection")
            self.buffer += data
        self._answers += 1
        return head

    def close(self) -> None:
        self._stream.close()


class AnswerBody(httpx2.SyncByteStream):
    """The body of an answer as it comes. At its end, or when it is closed, the connection is kept or closed."""

    def __init__(self, head: Head, wire: Wire, read_s: float, keep: Callable[[], None]) -> None:
        self._head, self._wire, self._keep_wire = head, wire, keep
        self._body = Body(head)
        self._is_page = not 200 <= head.status < 300
        self._ends_when_silent = self._is_page
        self._patience_s = min(read_s, MAX_PAGE_S) if self._is_page else read_s
        self._begin = self._body.feed(bytes(wire.buffer)) if wire.buffer else b""
        wire.buffer.clear()
        self._is_open = True

    @property
    def length(self) -> int | None:
        """How many bytes the answer announces; None where it announces none."""
        return self._body.length

    def expect_little_more(self) -> None:
        """What was asked for has come: the body ends when nothing comes for GRACE_S, whatever it announces."""
        self._ends_when_silent, self._patience_s = True, GRACE_S

    def __iter__(self) -> Iterator[bytes]:
        coding = b",".join(self._head.values(b"content-encoding"))
        with _errors():
            yield from (piece for piece in inflated(self._pieces(), coding) if piece)
        self.close()

    def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._head.stays_open and self._body.ended and self._body.is_exact:
            self._keep_wire()
        else:
            self._wire.close()

    def _pieces(self) -> Iterator[bytes]:
        until_s, size = time.monotonic() + MAX_PAGE_S, len(self._begin)
        if self._begin:
            yield self._begin
        while not self._body.ended:
            try:
                piece = self._fed(self._wire.read(self._patience_s))
            except httpcore2.ReadTimeout:
                if self._ends_when_silent:
                    return
                raise
            yield piece
            size += len(piece)
            if self._is_page and (size > MAX_PAGE_BYTES or time.monotonic() > until_s):
                return
        yield from self._excess()

    def _excess(self) -> Iterator[bytes]:
        """What is there behind the length that was announced: nobody asked for anything else."""
        while not self._is_page and self._wire.is_readable():
            try:
                data = self._wire.read(0.0)
            except (httpcore2.TimeoutException, httpcore2.NetworkError):  # nothing, or a part of a TLS record
                return
            yield self._fed(data)
            if not data:
                return

    def _fed(self, data: bytes) -> bytes:
        return self._body.feed(data) if data else self._body.finish()


@contextmanager
def _errors() -> Iterator[None]:
    """Errors of the socket and of the answer, as those of the client."""
    try:
        yield
    except (httpcore2.TimeoutException, httpcore2.NetworkError) as error:
        raise getattr(httpx2, type(error).__name__)(str(error)) from error
    except BadAnswer as error:
        raise httpx2.RemoteProtocolError(str(error)) from error
    except (OSError, ValueError) as error:  # a host name that cannot be looked up, or is none for TLS
        raise httpx2.ConnectError(f"its host cannot be reached: {error}") from error
