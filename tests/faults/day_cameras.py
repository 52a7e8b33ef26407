"""The cameras of a day: good ones, and one for each way in which cameras misbehave. All on 127.0.0.1."""

import functools
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from infra.process.ports import find_ports
from tests.faults.pictures import unique_jpeg
from tests.support.images import encoded
from tests.support.motion_jpeg import FRAMINGS, head, motion_camera, picture
from tests.support.polled_cameras import says
from tests.support.rtsp_cameras import has_rtsp_server, rtsp_camera
from tests.support.socket_camera import Answer, Request, reset, socket_camera, whole
from tests.support.videos import write_video

FPS = 5.0
HARD_FPS = 0.5
EVERY = 5
PAGE = b"<html><body><form>log in</form></body></html>"
# Framings that the motion JPEG camera changes among.
BAD_PARTS = ("text parts", "pictures cut in the scan", "empty parts", "length too small", "sound parts")


@dataclass(frozen=True, slots=True)
class Away:
    """A camera that gives no picture for the last `for_s` of every `every_s` seconds."""

    every_s: float
    for_s: float

    def is_away(self, age_s: float) -> bool:
        return age_s % self.every_s >= self.every_s - self.for_s


@dataclass(frozen=True, slots=True)
class DayCamera:
    """`source` is what the agent is given; a camera without one sends by itself, through another publisher."""

    id: str
    what: str
    source: str | None
    fps: float = FPS
    away: Away | None = None
    is_good: bool = False
    is_hard: bool = False


OFTEN = Away(60.0, 15.0)


@contextmanager
def cameras(folder: Path) -> Iterator[list[DayCamera]]:
    """All of them, until the end of the block. The times of `away` count from its beginning."""
    started_s = time.monotonic()

    def is_away() -> bool:
        return OFTEN.is_away(time.monotonic() - started_s)

    with ExitStack() as closing:

        def http(name: str, what: str, answer: Answer, path: str = "/snap.jpg", fps: float = FPS) -> DayCamera:
            address = closing.enter_context(socket_camera(answer)).address
            return DayCamera(name, what, f"http://{address}{path}", fps)

        def away(camera: DayCamera) -> DayCamera:
            return replace(camera, away=OFTEN)

        motion = closing.enter_context(motion_camera(motion_with_bad_parts))
        closing.enter_context(now_and_then_open(port := find_ports(1)[0], is_away))
        found = [
            *(
                DayCamera(f"good-{name}", "nothing", f"sim:{name}", is_good=True)
                for name in ("coffee", "cat", "rocket")
            ),
            http("busy", "503 at every fifth request", every(says(whole(b"busy", None, "503 Service Unavailable")))),
            http("half", "half a picture at every fifth request", every(half)),
            http("trickle", "a byte now and then at every 20th request", every(trickle, 20)),
            http("sizes", "another picture size every 2 s", sizes),
            replace(http("hard", "pictures that take the decoder seconds", hard, fps=HARD_FPS), is_hard=True),
            http("cut", "a live .mp4 that is cut every 36 s", live_video(folder), "/live.mp4?src=door"),
            DayCamera("parts", "motion JPEG with bad parts", motion.address),
            away(http("session", "a login page for 15 s of every minute", session(is_away))),
            away(DayCamera("refused", "nobody listens for 15 s of every minute", f"http://127.0.0.1:{port}/snap.jpg")),
            DayCamera("clock", "a clock at 1970, through another publisher", None),
        ]
        if has_rtsp_server():
            port = closing.enter_context(restarting_rtsp(is_away))
            found.append(away(DayCamera("rtsp", "its server is killed every minute", f"rtsp://127.0.0.1:{port}/cam")))
        yield found


def good(connection: socket.socket, request: Request) -> bool:
    connection.sendall(whole(unique_jpeg(f"{request.path}/{request.number}/{time.time_ns()}")))
    return True


def half(connection: socket.socket, request: Request) -> bool:
    jpeg = unique_jpeg(str(request.number))
    connection.sendall(whole(jpeg[: len(jpeg) // 2]))
    return True


def trickle(connection: socket.socket, request: Request) -> bool:
    for byte in whole(unique_jpeg(str(request.number)))[:12]:
        connection.sendall(bytes([byte]))
        time.sleep(0.2)
    return False


def sizes(connection: socket.socket, request: Request) -> bool:
    side = (64, 320, 1080)[int(time.monotonic() / 2) % 3] // 8 * 8
    connection.sendall(whole(unique_jpeg(str(time.time_ns()), side)))
    return True


@functools.cache
def hard_picture() -> bytes:
    """49 million pixels in two kilobytes: 1.5 s of CPU time, and 0.7 GB of memory meanwhile."""
    return encoded(Image.new("RGB", (7000, 7000), (10, 20, 30)), "JPEG2000")


def hard(connection: socket.socket, request: Request) -> bool:
    connection.sendall(whole(hard_picture() + b"%020d" % time.time_ns(), "image/jp2"))
    return True


def every(bad: Answer, number: int = EVERY) -> Answer:
    def answer(connection: socket.socket, request: Request) -> bool:
        return (good if request.number % number else bad)(connection, request)

    return answer


def session(is_away: Callable[[], bool]) -> Answer:
    def answer(connection: socket.socket, request: Request) -> bool:
        return (says(whole(PAGE, "text/html")) if is_away() else good)(connection, request)

    return answer


def live_video(folder: Path) -> Answer:
    """36 s of video without a length, then the connection is reset."""
    data = write_video(folder / "live.avi", frames=300, per_s=15).read_bytes()

    def answer(connection: socket.socket, _request: Request) -> bool:
        connection.sendall(head("video/mp4", "Connection: close"))
        size = len(data) // 400
        for start in range(0, len(data) * 9 // 10, size):
            connection.sendall(data[start : start + size])
            time.sleep(0.1)
        reset(connection)
        return False

    return answer


def motion_with_bad_parts(connection: socket.socket) -> None:
    connection.sendall(head("multipart/x-mixed-replace; boundary=frame"))
    for number in itertools.count():
        framing = FRAMINGS[BAD_PARTS[number // 30 % len(BAD_PARTS)]]
        connection.sendall(framing.frame(number, picture(number)))
        time.sleep(1 / (2 * FPS))


@contextmanager
def now_and_then_open(port: int, is_away: Callable[[], bool]) -> Iterator[None]:
    """A good camera at this port, where nobody listens while it is away."""

    def listen() -> Callable[[], None]:
        stack = ExitStack()
        stack.enter_context(socket_camera(good, port=port))
        return stack.close

    with turned_off_and_on(listen, is_away):
        yield


@contextmanager
def restarting_rtsp(is_away: Callable[[], bool]) -> Iterator[int]:
    """Its port."""
    port = find_ports(1)[0]

    def serve() -> Callable[[], None]:
        stack = ExitStack()
        stack.enter_context(rtsp_camera(port=port))
        return stack.close

    with turned_off_and_on(serve, is_away):
        yield port


@contextmanager
def turned_off_and_on(turn_on: Callable[[], Callable[[], None]], is_away: Callable[[], bool]) -> Iterator[None]:
    """`turn_on` returns what turns off again."""
    over = threading.Event()

    def run() -> None:
        turn_off = None
        while not over.wait(0.2):
            if turn_off is not None and is_away():
                turn_off()
                turn_off = None
            elif turn_off is None and not is_away():
                turn_off = turn_on()
        if turn_off is not None:
            turn_off()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(20)
