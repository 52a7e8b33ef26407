"""The proxy of the fault suite, against a plain echo server: no broker, but sockets."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.proxy import TcpProxy


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except OSError:
            pass


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    with _Server(("127.0.0.1", 0), _Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with TcpProxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()


def connect(proxy: TcpProxy) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def echo(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    found = b""
    while len(found) < len(data) and (part := connection.recv(65536)):
        found += part
    return found


def test_passes_bytes_and_the_end_of_either_side(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        data = bytes(range(256)) * 1000
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        found = b""
        while len(found) < len(data):
            found += connection.recv(65536)
        sender.join()
        assert found == data
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert proxy.connections_total == 1


def test_delay_is_that_of_the_line_and_not_of_each_chunk(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        proxy.delay(0.1)
        started_s = time.monotonic()
        assert echo(connection, b"x" * 1_000_000) == b"x" * 1_000_000
        took_s = time.monotonic() - started_s
    assert 0.2 <= took_s < 2.0


def test_what_was_held_arrives_later_in_order(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        assert echo(connection, b"before") == b"before"
        proxy.hold()
        connection.sendall(b"1")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.sendall(b"2")
        proxy.restore()
        connection.settimeout(5)
        connection.sendall(b"3")
        found = b""
        while len(found) < 3:
            found += connection.recv(3)
        assert found == b"123"


def test_cut_resets_connections_and_takes_new_ones(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        assert echo(connection, b"x") == b"x"
        assert proxy.cut() == 1
        with pytest.raises(ConnectionError):
            while connection.recv(1):
                pass
    with connect(proxy) as connection:
        assert echo(connection, b"again") == b"again"


def test_refused_until_restored(proxy: TcpProxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.restore()
    with connect(proxy) as connection:
        assert echo(connection, b"x") == b"x"


def test_a_target_that_is_away_is_a_reset(proxy: TcpProxy) -> None:
    proxy.target_port = 1
    with pytest.raises(ConnectionError), connect(proxy) as connection:
        echo(connection, b"x")
