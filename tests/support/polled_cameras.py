"""Cameras on real sockets with a feed on them: good answers, streams, and what tests need to say bad ones."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from infra.settings import CameraSettings
from tests.support.cameras import SETTINGS, spec_of
from tests.support.socket_camera import Answer, Request, SocketCamera, head, socket_camera, whole
from tests.support.watched_feed import WatchedFeed, watched_feed

FPS = 20
QUICK = SETTINGS.model_copy(update={"read_timeout_ms": 1_000, "open_timeout_ms": 2_000, "lost_after_ms": 6_000})


@contextmanager
def watching(
    answer: Answer,
    path: str = "/snap.jpg",
    fps: float = FPS,
    settings: CameraSettings = QUICK,
    tls: ssl.SSLContext | None = None,
    **keys: object,
) -> Iterator[tuple[SocketCamera, WatchedFeed]]:
    """A camera that answers so, and a feed on it."""
    with (
        socket_camera(answer, tls) as camera,
        watched_feed(spec_of(url(camera, path), fps, settings, **keys), settings) as watched,
    ):
        yield camera, watched


def jpeg_of(level: int) -> bytes:
    pixels = np.random.default_rng(level).integers(0, 256, (48, 64, 3), np.uint8)
    done, data = cv2.imencode(".jpg", pixels)
    assert done
    return data.tobytes()


JPEG = jpeg_of(1)
PART = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(JPEG) + JPEG + b"\r\n"


def good(connection: socket.socket, _request: Request) -> bool:
    connection.sendall(whole(JPEG))
    return True


def says(data: bytes, stays_open: bool = True) -> Answer:
    def answer(connection: socket.socket, _request: Request) -> bool:
        connection.sendall(data)
        return stays_open

    return answer


def url(camera: SocketCamera, path: str = "/snap.jpg") -> str:
    return f"{'https' if camera.tls else 'http'}://{camera.address}{path}"


def streaming(part: bytes, kind: str | None = "multipart/x-mixed-replace; boundary=frame") -> Answer:
    def answer(connection: socket.socket, _request: Request) -> bool:
        connection.sendall(head("200 OK", *([f"Content-Type: {kind}"] if kind else []), "Connection: close"))
        while True:
            connection.sendall(part)
            time.sleep(0.05)

    return answer
