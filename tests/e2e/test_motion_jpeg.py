"""Motion JPEG from cameras that misbehave, through a capture process for real: a bad part costs a frame and no more."""

import socket
import struct
import time
from collections.abc import Callable

import pytest

from ingest.capture.wire import CaptureMessage, MessageKind
from tests.e2e.test_capture import frames, last, messages, task_of
from tests.support.motion_jpeg import (
    FRAMINGS,
    MULTIPART,
    TEXT_PART,
    chunk,
    endless,
    head,
    motion_camera,
    number_of,
    part,
    picture,
)

# Minutes in all: cameras are asked for seconds each.
pytestmark = pytest.mark.system

FPS = 200  # more than any camera here sends: every picture is published


def read(
    send: Callable[[socket.socket], None], enough: int = 12, fps: float = FPS, **changes: object
) -> tuple[list[CaptureMessage], int]:
    """What a capture process tells of a camera, and how often it asked."""
    with motion_camera(send) as camera:
        return messages(task_of(camera.address, fps, **changes), enough), camera.answers


@pytest.mark.parametrize("name", FRAMINGS)
def test_every_framing_gives_its_whole_pictures_in_one_answer(name: str) -> None:
    framing = FRAMINGS[name]
    found, answers = read(endless(framing))
    numbers = [number_of(image) for image in frames(found)]
    assert numbers == sorted(set(numbers))
    assert not [number for number in numbers if framing.loses(number)]
    assert numbers[-1] < 40
    assert answers == 1
    end = b"\xff\xd9"
    assert [image.removesuffix(end) for image in frames(found)] == [picture(each).removesuffix(end) for each in numbers]


@pytest.mark.parametrize("name", ["text parts", "pictures cut in the scan", "pictures cut in the tables"])
def test_bad_parts_are_counted(name: str) -> None:
    found, _ = read(endless(FRAMINGS[name]), enough=100)
    assert last(found, MessageKind.STATS).meta["dropped"]["damaged"] > 5


@pytest.mark.parametrize("size", [1, 100, 5_000, 1 << 20])
def test_chunks_of_any_size(size: int) -> None:
    def send(connection: socket.socket) -> None:
        connection.sendall(head(MULTIPART, "Transfer-Encoding: chunked"))
        for number in range(1_000):
            data = part(picture(number, side=16))
            for at in range(0, len(data), size):
                connection.sendall(chunk(data[at : at + size]))

    found, _ = read(send)
    numbers = [number_of(image) for image in frames(found)]
    assert numbers == sorted(set(numbers))
    assert [picture(number, side=16) for number in numbers] == frames(found)


def test_of_pictures_that_come_at_once_the_newest_is_taken_and_the_others_counted() -> None:
    def send(connection: socket.socket) -> None:
        connection.sendall(head(MULTIPART))
        for number in range(0, 1_000, 3):
            connection.sendall(b"".join(part(picture(each, side=16)) for each in range(number, number + 3)))
            time.sleep(0.1)

    found, _ = read(send, enough=15)
    numbers = [number_of(image) for image in frames(found)]
    assert numbers[1:] == list(range(5, 45, 3))
    stats = last(found, MessageKind.STATS).meta
    assert stats["dropped"]["buffer_full"] >= 10
    assert stats["captured"] % 3 == 0


def test_an_answer_that_ends_after_a_picture_is_asked_for_again_at_the_rate_of_the_source() -> None:
    def send(connection: socket.socket) -> None:
        data = part(picture(0)) + b"--frame--\r\n"
        connection.sendall(head(MULTIPART, f"Content-Length: {len(data)}") + data)

    found, answers = read(send, enough=6, fps=10)
    assert frames(found) == [picture(0)] * 6
    assert 6 <= answers <= 8


def test_a_stream_that_breaks_off_is_a_fault() -> None:
    def send(connection: socket.socket) -> None:
        connection.sendall(head(MULTIPART) + part(picture(0)) + part(picture(1))[:500])
        time.sleep(0.3)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    found, answers = read(send)
    assert frames(found) == [picture(0)]
    assert found[-1].kind == MessageKind.FAILED
    assert "broke off" in found[-1].meta["why"]
    assert answers == 1


def test_a_camera_that_falls_silent_is_a_fault_in_time() -> None:
    def send(connection: socket.socket) -> None:
        connection.sendall(head(MULTIPART))
        for number in range(3):
            connection.sendall(part(picture(number)))
            time.sleep(0.05)
        time.sleep(30)

    began_s = time.monotonic()
    found, _ = read(send, read_timeout_ms=1_000)
    assert 1 <= len(frames(found)) <= 3
    assert found[-1].meta["why"] == "no picture for 1000 ms (read_timeout_ms)"
    assert time.monotonic() - began_s < 10


def test_a_camera_that_sends_text_and_no_pictures_never_opens() -> None:
    def send(connection: socket.socket) -> None:
        connection.sendall(head(MULTIPART))
        while True:
            connection.sendall(TEXT_PART)
            time.sleep(0.05)

    found, _ = read(send, read_timeout_ms=1_000, open_timeout_ms=1_000)
    assert [one.kind for one in found] == [MessageKind.FAILED]


def test_a_stream_that_declares_a_length_is_a_stream() -> None:
    def send(connection: socket.socket) -> None:
        connection.sendall(head(MULTIPART, "Content-Length: 99999999999"))
        for number in range(1_000):
            connection.sendall(part(picture(number)))
            time.sleep(0.02)

    found, answers = read(send)
    assert len(frames(found)) == 12
    assert answers == 1


def test_a_picture_over_the_limit_is_refused_and_the_next_read() -> None:
    def send(connection: socket.socket) -> None:
        connection.sendall(head(MULTIPART))
        for number in range(1_000):
            connection.sendall(part(picture(number, side=128 if number % 2 else 16)))
            time.sleep(0.05)

    found, _ = read(send, enough=4, max_image_bytes=len(picture(0, side=64)))
    numbers = [number_of(image) for image in frames(found)]
    assert [number for number in numbers if number % 2] == []
    assert numbers == sorted(set(numbers))
    refused = [one.meta for one in found if one.kind == MessageKind.REFUSED]
    assert [one["reason"] for one in refused] == ["too_large"] * len(refused)
    assert len(refused) >= 2
