"""Cameras that speak HTTP as it is spoken in the field, on real sockets: as lenient as curl, and bounded."""

import gzip
import socket
import time
from collections.abc import Iterator
from itertools import repeat

import pytest

from ingest.sources.connection import Connection
from ingest.sources.http1 import MAX_HEAD_BYTES
from ingest.sources.readers.base import FrameReader, PictureMissed, SourceFault
from ingest.sources.readers.http import open_http
from ingest.sources.readers.http_transport import Wire
from tests.e2e.test_capture import task_of
from tests.support.lenient_answers import ANSWERS, TYPE, begun, chunks
from tests.support.polled_cameras import JPEG, PART, good, says
from tests.support.socket_camera import Answer, Request, SocketCamera, head, socket_camera, whole

# A minute in all.
pytestmark = pytest.mark.system

FPS = 1_000


@pytest.fixture(autouse=True)
def _wires_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Readers live as long as their process: here they are many in one."""
    made: list[Wire] = []
    connect = Wire.to

    def to(host: str, port: int, timeout_s: float) -> Wire:
        made.append(connect(host, port, timeout_s))
        return made[-1]

    monkeypatch.setattr(Wire, "to", to)
    yield
    for wire in made:
        wire.close()


def opened(camera: SocketCamera, path: str = "/snap", **changes: object) -> FrameReader:
    times = {"open_timeout_ms": 1_500, "read_timeout_ms": 1_500, **changes}
    return open_http(task_of(f"http://{camera.address}{path}", FPS, **times))


def pictures(reader: FrameReader, count: int) -> Iterator[bytes]:
    for _ in range(count):
        assert reader.grab() is not None
        image = reader.retrieve()
        assert image is not None
        yield image.data


@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_answer_with_a_whole_picture_gives_it(name: str) -> None:
    odd = ANSWERS[name]
    with socket_camera(says(odd.data, odd.stays_open)) as camera:
        found = set(pictures(opened(camera), 4))
        assert {image.removesuffix(b"\r\n") for image in found} == {JPEG}
        assert len(camera.requests) == 4, "no request is sent twice"
        assert camera.requests[-1].on_connection == (4 if odd.keeps else 1)


@pytest.mark.parametrize(
    "first",
    [
        "as the standard says",
        "lines that end with LF",
        "ICY",
        "blank lines first",
        "a header line without a colon",
        "no version",
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_stream_behind_an_odd_head_goes_on_over_its_connection(first: str, chunked: bool) -> None:
    kind = "Content-Type: multipart/x-mixed-replace; boundary=frame"
    begin = ANSWERS[first].data.split(JPEG[:10])[0].replace(b"image/jpeg", b"multipart/x-mixed-replace")
    lines = [line for line in begin.split(b"\n") if not line.lower().startswith(b"content-length")]
    begin = b"\n".join(lines).rstrip(b"\r\n") + b"\r\n" + kind.encode()
    begin += b"\r\nTransfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n\r\n"

    def answer(connection: socket.socket, _request: Request) -> bool:
        connection.sendall(begin)
        for number in range(100):
            data = PART if number % 2 else PART[:50]
            connection.sendall(b"%X;x\r\n" % len(data) + data + b"\r\n" if chunked else data)
            time.sleep(0.01)
        return False

    with socket_camera(answer) as camera:
        assert set(pictures(opened(camera, "/v"), 8)) == {JPEG}
        assert len(camera.requests) == 1


def test_a_stream_without_a_head_is_a_stream() -> None:
    def answer(connection: socket.socket, _request: Request) -> bool:
        for _ in range(100):
            connection.sendall(PART)
            time.sleep(0.01)
        return False

    with socket_camera(answer) as camera:
        assert set(pictures(opened(camera), 8)) == {JPEG}
        assert len(camera.requests) == 1


def endless(begin: bytes, more: bytes, pause_s: float = 0.0) -> Answer:
    def answer(connection: socket.socket, _request: Request) -> bool:
        connection.sendall(begin)
        for piece in repeat(more):
            connection.sendall(piece)
            time.sleep(pause_s)
        return False

    return answer


BOMB = whole(gzip.compress(bytes(64 << 20)), "image/jpeg", "200 OK", "Content-Encoding: gzip")
HOSTILE = {
    "a header without an end": endless(begun("HTTP/1.1 200 OK").rstrip(b"\r\n"), b"X: y\r\n" * 1_000),
    "a header line without an end": endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10_000),
    "a header byte by byte": endless(b"HTTP/1.1 200 OK\r\n", b"X", 0.05),
    "blank lines without an end": endless(b"", b"\r\n", 0.001),
    "continue without an end": endless(b"", begun("HTTP/1.1 100 Continue"), 0.001),
    "a chunk size without an end": endless(
        head("200 OK", TYPE, "Transfer-Encoding: chunked") + b"1\r\na\r\n", b"1" * 99
    ),
    "chunks of nothing": endless(head("200 OK", TYPE, "Transfer-Encoding: chunked"), b"1\r\n\n\r\n", 0.001),
    "a page of a refusal without an end": endless(head("404 Not Found", TYPE), b"x" * 10_000),
    "a redirect without an end": endless(head("302 Found", "Location: /again"), b"x" * 10_000),
    "a question for a password without an end": endless(
        head("401 Unauthorized", 'WWW-Authenticate: Basic realm="x"'), b"x" * 10_000
    ),
    "a page that trickles": endless(head("302 Found", "Location: /again"), b"x", 0.05),
    "garbage": says(b"garbage\r\n\r\n", stays_open=False),
    "half a first line": says(b"HTTP/1.1 2", stays_open=False),
    "a status of four digits": says(begun("HTTP/1.1 2000 OK") + JPEG, stays_open=False),
    "nothing": says(b"", stays_open=False),
    "compressed and broken": says(whole(b"\x1f\x8b" + JPEG, "image/jpeg", "200 OK", "Content-Encoding: gzip")),
    "a chunk without a size": says(chunks(JPEG[:1_000], last=b"zz\r\n\r\n"), stays_open=False),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_answer_is_a_sentence_in_time(name: str) -> None:
    with socket_camera(HOSTILE[name]) as camera:
        began_s = time.monotonic()
        with pytest.raises(SourceFault) as caught:
            opened(camera, connection=Connection(user="joe"))
        assert str(caught.value).startswith("it")
        assert time.monotonic() - began_s < 8


def test_a_header_over_the_limit_is_refused() -> None:
    long = head("200 OK", f"X-Long: {'x' * MAX_HEAD_BYTES}", TYPE) + JPEG
    with socket_camera(says(long)) as camera, pytest.raises(SourceFault, match="its answer has a header of more than"):
        opened(camera)


def test_a_compressed_answer_that_grows_without_end_is_given_up_at_the_limit_of_a_picture() -> None:
    with socket_camera(
        lambda connection, request: (good if request.number == 1 else says(BOMB))(connection, request)
    ) as camera:
        reader = opened(camera)
        list(pictures(reader, 1))
        with pytest.raises(Exception, match="the limit is"):
            list(pictures(reader, 1))


def test_what_a_camera_sends_unasked_on_a_kept_connection_is_no_answer_to_the_next_request() -> None:
    def answer(connection: socket.socket, request: Request) -> bool:
        connection.sendall(whole(JPEG))
        if request.number == 2:
            time.sleep(0.1)
            connection.sendall(whole(b"left over"))
        return True

    with socket_camera(answer) as camera:
        reader = opened(camera)
        found: list[bytes] = []
        for _ in range(4):
            found += pictures(reader, 1)
            time.sleep(0.3)
        assert found == [JPEG] * 4
        assert [request.on_connection for request in camera.requests] == [1, 2, 1, 2]


def test_a_refusal_that_closes_before_it_has_read_the_request_is_read() -> None:
    def answer(connection: socket.socket, request: Request) -> bool:
        connection.sendall(head("503 Service Unavailable", "Retry-After: 120", "Content-Length: 0"))
        return False

    with socket_camera(answer) as camera, pytest.raises(SourceFault, match="503") as caught:
        opened(camera)
    assert caught.value.wait_s == 120
    assert isinstance(caught.value.__cause__, PictureMissed)
