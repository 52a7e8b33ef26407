"""A camera on a bare socket: it answers whatever bytes a test wants, also those that no HTTP server would send."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """`number` counts the requests over all connections from 1, `on_connection` those of its connection."""

    number: int
    on_connection: int
    path: str
    headers: dict[str, str]


# Writes an answer to the socket; returns whether the connection stays open for another request.
Answer = Callable[[socket.socket, Request], bool]


@dataclass
class SocketCamera:
    """A camera that listens on 127.0.0.1; `requests` are those that came so far."""

    answer: Answer
    port: int = 0
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def head(status: str, *lines: str) -> bytes:
    """The head of an answer."""
    return ("\r\n".join([f"HTTP/1.1 {status}", *lines]) + "\r\n\r\n").encode("latin-1")


def whole(body: bytes, kind: str | None = "image/jpeg", status: str = "200 OK", *lines: str) -> bytes:
    """An answer as it should be, with its length."""
    return head(status, f"Content-Length: {len(body)}", *([f"Content-Type: {kind}"] if kind else []), *lines) + body


def reset(connection: socket.socket) -> None:
    """End a connection with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextmanager
def socket_camera(answer: Answer, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[SocketCamera]:
    """A camera that answers with `answer` until the end of the block, at this port or at a free one."""
    with socket.create_server(("127.0.0.1", port)) as server:
        camera = SocketCamera(answer, server.getsockname()[1], tls)
        threads: list[threading.Thread] = []
        opened: list[socket.socket] = []
        accepting = threading.Thread(target=_accept, args=(server, camera, threads, opened), daemon=True)
        accepting.start()
        try:
            yield camera
        finally:
            server.shutdown(socket.SHUT_RDWR)
            accepting.join(5)
            for connection in opened:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(5)


def _accept(
    server: socket.socket, camera: SocketCamera, threads: list[threading.Thread], opened: list[socket.socket]
) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        opened.append(connection)
        thread = threading.Thread(target=_talk, args=(connection, camera), daemon=True)
        threads.append(thread)
        thread.start()


def _talk(connection: socket.socket, camera: SocketCamera) -> None:
    talking, count = connection, 0
    try:
        if camera.tls is not None:
            talking = camera.tls.wrap_socket(connection, server_side=True)
        while True:
            data = b""
            while b"\r\n\r\n" not in data:
                piece = talking.recv(65536)
                if not piece:
                    return
                data += piece
            first, *lines = data.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            count += 1
            request = Request(len(camera.requests) + 1, count, first.split(" ")[1], headers)
            camera.requests.append(request)
            if not camera.answer(talking, request):
                return
    except OSError:
        return
    finally:
        with suppress(OSError):
            talking.close()
        connection.close()
