"""HTTP cameras that misbehave, on real sockets: one bad answer costs one picture, and no bad one becomes a frame."""

import socket
import time
from pathlib import Path

import pytest

from ingest.camera.session_end import FeedState
from tests.support.cameras import SETTINGS, spec_of
from tests.support.polled_cameras import FPS, JPEG, PART, QUICK, good, says, streaming, url, watching
from tests.support.socket_camera import Answer, Request, head, reset, socket_camera, whole
from tests.support.videos import number_of, write_video
from tests.support.watched_feed import watched_feed

# Minutes in all: cameras are asked for seconds each.
pytestmark = pytest.mark.system

# Every so manieth request has a bad answer.
EVERY = 6
PAGE = b"<html><body><form>log in</form></body></html>"


def drops(connection: socket.socket, _request: Request) -> bool:
    reset(connection)
    return False


def is_silent(_connection: socket.socket, _request: Request) -> bool:
    time.sleep(2.5)
    return False


def trickles(connection: socket.socket, _request: Request) -> bool:
    connection.sendall(head("200 OK", "Content-Type: image/jpeg", f"Content-Length: {len(JPEG)}"))
    for byte in JPEG[:20]:
        connection.sendall(bytes([byte]))
        time.sleep(0.2)
    return False


def now_and_then(bad: Answer, every: int = EVERY) -> Answer:
    """Two bad answers at a time: what a dropped connection leaves unanswered is asked for once more at once."""

    def answer(connection: socket.socket, request: Request) -> bool:
        is_bad = request.path != "/snap.jpg" or request.number % every < 2
        return (bad if is_bad else good)(connection, request)

    return answer


BAD_ANSWERS = {
    "busy": ("busy", says(whole(b"<status>busy</status>", "application/xml", "503 Service Unavailable"))),
    "too many requests": ("busy", says(whole(b"", "text/plain", "429 Too Many Requests", "Retry-After: 0"))),
    "error": ("http_status", says(whole(b"oops", "text/plain", "500 Internal Server Error"))),
    "gone for once": ("http_status", says(whole(b"", "text/plain", "404 Not Found"))),
    "unauthorised for once": ("unauthorised", says(whole(b"", "text/plain", "401 Unauthorized"))),
    "silent": ("slow", is_silent),
    "a byte now and then": ("slow", trickles),
    "cut": ("cut", says(whole(JPEG)[:-200], stays_open=False)),
    "half a picture and a right length": ("cut", says(whole(JPEG[: len(JPEG) // 2]))),
    "half a picture until the end": ("cut", says(head("200 OK", "Connection: close") + JPEG[:-300], stays_open=False)),
    "no head": ("cut", says(b"garbage\r\n\r\n", stays_open=False)),
    "empty": ("empty", says(whole(b""))),
    "no content": ("empty", says(head("204 No Content"))),
    "redirected without end": ("redirected", says(head("302 Found", "Location: /again", "Content-Length: 0"))),
    "redirected to nowhere": ("redirected", says(head("302 Found", "Content-Length: 0"))),
    "page": ("no_picture", says(whole(PAGE, "text/html"))),
    "page called a picture": ("no_picture", says(whole(PAGE))),
    "json": ("no_picture", says(whole(b'[{"cmd":"Snap","code":1}]', "application/json"))),
    "noise": ("no_picture", says(whole(bytes(range(200)), "application/octet-stream"))),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_one_bad_answer_costs_one_picture(name: str) -> None:
    reason, bad = BAD_ANSWERS[name]
    with watching(now_and_then(bad)) as (_, watched):
        watched.until(lambda: watched.drops.of("cam")[reason] >= 4 and len(watched.captured) >= 20)
        assert {frame.image for frame in watched.captured} == {JPEG}
        assert len(watched.epochs()) == 1, "one process, one epoch"
        assert watched.feed.failures == 0
        assert watched.feed.state == FeedState.UP
        assert set(watched.drops.of("cam")) <= {reason, "buffer_full"}, "a slow machine may be late with its frames"


def test_a_camera_that_refuses_connections_for_a_moment_is_asked_on() -> None:
    with socket_camera(good) as camera, watched_feed(spec_of(url(camera), FPS, QUICK), QUICK) as watched:
        watched.until(lambda: len(watched.captured) >= 3)
        port = camera.port
    with watched_feed(spec_of(f"http://127.0.0.1:{port}/snap.jpg", FPS, QUICK), QUICK) as watched:
        time.sleep(0.5)  # nobody listens: opening goes on asking
        with socket.create_server(("127.0.0.1", port)):
            pass
        assert watched.feed.failures == 0
        assert watched.feed.state == FeedState.STARTING


def test_a_kept_connection_that_the_camera_dropped_costs_nothing() -> None:
    def every_second(connection: socket.socket, request: Request) -> bool:
        return (good if request.on_connection == 1 else drops)(connection, request)

    with watching(every_second) as (_, watched):
        watched.until(lambda: len(watched.captured) >= 20)
        assert not watched.drops.of("cam")
        assert len(watched.epochs()) == 1


def test_a_camera_that_asks_to_be_left_alone_is_asked_no_more_for_so_long() -> None:
    busy = says(whole(b"", "text/plain", "503 Service Unavailable", "Retry-After: 1"))
    with watching(now_and_then(busy, 12)) as (camera, watched):
        watched.until(lambda: watched.drops.of("cam")["busy"] >= 25)
        assert 2 <= sum(request.number % 12 < 2 for request in camera.requests) <= 3
        assert len(watched.epochs()) == 1


def test_a_camera_that_asks_to_be_left_alone_when_it_is_opened_is_opened_no_earlier() -> None:
    asked_s: list[float] = []

    def answer(connection: socket.socket, request: Request) -> bool:
        asked_s.append(time.monotonic())
        busy = says(whole(b"", "text/plain", "503 Service Unavailable", "Retry-After: 6"))
        return (busy if request.number == 1 else good)(connection, request)

    with watching(answer) as (_, watched):  # QUICK gives up opening after 2 s, and backs off for 0.5 s at most
        watched.until(lambda: watched.feed.state == FeedState.DOWN)
        assert watched.feed.why == "it answers HTTP 503 Service Unavailable"
        watched.until(lambda: len(watched.captured) >= 3)
        assert 6 <= asked_s[1] - asked_s[0] < 15


@pytest.mark.parametrize("reason", ["page", "half a picture and a right length", "busy", "silent"])
def test_a_camera_that_fails_for_long_shows_it_and_comes_back(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.camera.feed.failing_after_s", lambda _fps: 0.8)
    failing = [False]

    def answer(connection: socket.socket, request: Request) -> bool:
        return (BAD_ANSWERS[reason][1] if failing[0] else good)(connection, request)

    with watching(answer, settings=QUICK.model_copy(update={"lost_after_ms": 2_000})) as (_, watched):
        watched.until(lambda: watched.feed.state == FeedState.UP)
        failing[0] = True
        watched.until(lambda: watched.feed.state == FeedState.FAILING)
        assert watched.feed.why
        watched.until(lambda: watched.feed.state == FeedState.DOWN)
        assert "no picture for" in watched.feed.why
        failing[0] = False
        watched.until(lambda: watched.feed.state == FeedState.UP)
        assert {frame.image for frame in watched.captured} == {JPEG}
        assert len(watched.epochs()) == 2


@pytest.mark.parametrize(
    ("framing", "body", "lines"),
    [
        ("length", JPEG, []),
        ("chunks", JPEG, []),
        ("close", JPEG, []),
        ("length", JPEG, ["Content-Type: application/octet-stream"]),
        ("chunks", JPEG, ["Content-Type: text/html; charset=utf-8"]),
        ("length", JPEG, ["Content-Type: multipart/x-mixed-replace;boundary=ipcam264"]),
        ("close", JPEG, ["Content-Type: multipart/x-mixed-replace;boundary=ipcam264"]),
        ("length", PART + b"--frame--\r\n", ["Content-Type: multipart/mixed; boundary=frame"]),
        ("close", PART, ["Content-Type: image/jpeg"]),
        ("length", b"\r\n" + JPEG, ["Content-Type: text/plain"]),
    ],
)
def test_the_bytes_say_that_it_is_a_snapshot(framing: str, body: bytes, lines: list[str]) -> None:
    def answer(connection: socket.socket, _request: Request) -> bool:
        if framing == "length":
            connection.sendall(head("200 OK", *lines, f"Content-Length: {len(body)}") + body)
        elif framing == "chunks":
            chunk = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
            connection.sendall(head("200 OK", *lines, "Transfer-Encoding: chunked") + chunk)
        else:
            connection.sendall(head("200 OK", *lines, "Connection: close") + body)
        return framing != "close"

    with watching(answer, "/cgi") as (_, watched):
        watched.until(lambda: len(watched.captured) >= 8)
        assert {frame.image for frame in watched.captured} == {JPEG}
        assert len(watched.epochs()) == 1
        assert not watched.drops.of("cam")


@pytest.mark.parametrize("kind", ["image/jpeg", "text/html", "multipart/x-mixed-replace; boundary=frame", None])
def test_the_bytes_say_that_it_is_a_motion_jpeg_stream(kind: str | None) -> None:
    with watching(streaming(PART, kind), "/v", 5, SETTINGS) as (camera, watched):
        watched.until(lambda: len(watched.captured) >= 5)
        assert len(camera.requests) <= 3, "a stream is opened, and not polled"


def test_a_picture_without_an_end_marker_is_a_whole_one_when_its_rows_are_there() -> None:
    body = JPEG[:-2] + bytes(300)
    with watching(says(whole(body))) as (_, watched):
        watched.until(lambda: len(watched.captured) >= 5)
        assert {frame.image for frame in watched.captured} == {body}
        assert not watched.drops.of("cam")


@pytest.mark.parametrize("suffix", [".avi"])
def test_a_video_without_a_length_is_a_live_camera_that_is_opened_again(tmp_path: Path, suffix: str) -> None:
    data = write_video(tmp_path / f"live{suffix}", frames=30, per_s=15).read_bytes()
    kind = head("200 OK", "Content-Type: video/mp4", "Connection: close")
    with watching(says(kind + data, stays_open=False), f"/live{suffix}?src=door", 15, SETTINGS) as (_, watched):
        watched.until(lambda: len(watched.epochs()) >= 3)
        assert watched.feed.live
        assert watched.feed.state in (FeedState.UP, FeedState.DOWN)


def test_a_live_video_with_room_for_one_viewer_is_opened_when_the_place_is_free_again(tmp_path: Path) -> None:
    data = write_video(tmp_path / "live.avi", frames=300, per_s=15).read_bytes()
    viewers, busy = [0], says(whole(b"busy", "text/plain", "503 Service Unavailable"))

    def answer(connection: socket.socket, request: Request) -> bool:
        if viewers[0]:
            return busy(connection, request)
        viewers[0] += 1
        try:
            connection.sendall(head("200 OK", "Content-Type: video/x-msvideo"))
            for at in range(0, len(data), 4_000):
                connection.sendall(data[at : at + 4_000])
                time.sleep(0.02)
        except OSError:
            time.sleep(1.5)  # it notices late
        viewers[0] -= 1
        return False

    with watching(answer, "/live", 15, SETTINGS) as (camera, watched):
        watched.until(lambda: len(watched.captured) >= 10)
        assert watched.feed.failures == 0
        assert len(camera.requests) >= 3


def test_a_video_with_a_length_is_a_file_that_ends(tmp_path: Path) -> None:
    data = write_video(tmp_path / "file.avi", frames=30, per_s=15).read_bytes()
    with watching(says(whole(data, "video/x-msvideo")), "/file.avi", 5, SETTINGS) as (_, watched):
        watched.until(lambda: watched.feed.state == FeedState.ENDED)
        assert not watched.feed.live
        assert [number_of(frame.image) for frame in watched.captured] == list(range(0, 30, 3))


def test_a_video_with_a_length_that_is_cut_is_no_end(tmp_path: Path) -> None:
    data = write_video(tmp_path / "file.avi", frames=60, per_s=30).read_bytes()

    def answer(connection: socket.socket, request: Request) -> bool:
        connection.sendall(whole(data, "video/x-msvideo")[: len(data) // 2 if request.number <= 2 else None])
        return False

    with watching(answer, "/file.avi", 5, SETTINGS) as (_, watched):
        watched.until(lambda: watched.feed.state == FeedState.ENDED)
        numbers = [number_of(frame.image) for frame in watched.captured]
        assert numbers == sorted(set(numbers)), "no frame twice"
        assert numbers[-1] > 50
