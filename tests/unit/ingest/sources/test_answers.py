"""What the bytes of an answer are, whatever it is called."""

import struct

import cv2
import numpy as np
import pytest

from ingest.sources import answers

PIXELS = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)


def encoded(suffix: str = ".jpg", *options: int) -> bytes:
    done, data = cv2.imencode(suffix, PIXELS, options)
    assert done
    return data.tobytes()


JPEG = encoded()
GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"
# A thumbnail inside the header, with start and end markers of its own.
EXIF = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(JPEG) + 2) + JPEG + JPEG[2:]
PART = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(JPEG) + JPEG + b"\r\n"


@pytest.mark.parametrize(
    "body",
    [JPEG, EXIF, encoded(".png"), encoded(".webp"), encoded(".bmp"), encoded(".tiff"), encoded(".ppm"), GIF],
    ids=lambda body: body[:4].hex(),
)
def test_pictures(body: bytes) -> None:
    assert answers.is_picture(body)
    assert answers.unwrapped(body) == body
    assert not answers.is_video(body)
    assert not answers.page_type(body)


@pytest.mark.parametrize(
    ("body", "page"),
    [
        (b"<html><body>log in</body></html>", "text/html"),
        (b"\r\n\xef\xbb\xbf<!DOCTYPE html>", "text/html"),
        ("<html><p>Zugang für Müller".encode(), "text/html"),
        ("<html><title>登录".encode("gb2312"), "text/html"),
        (b'[{"cmd":"Snap","code":1}]', "application/json"),
        (b'{"error": 1}', "application/json"),
        (b'<?xml version="1.0"?><status/>', "text/xml"),
        (b"Error: busy\n", "text/plain"),
        (b"\x00\x01\x02\x03", ""),
        (b"", ""),
    ],
)
def test_pages(body: bytes, page: str) -> None:
    assert answers.page_type(body) == page
    assert not answers.is_picture(body)


@pytest.mark.parametrize(
    "body",
    [
        b"\x00\x00\x00\x18ftypisom" + bytes(20),
        b"\x00\x00\x00\x18moof" + bytes(20),
        b"\x1aE\xdf\xa3" + bytes(20),
        b"RIFF\x00\x00\x00\x00AVI LIST",
        b"FLV\x01\x05",
        (b"G" + bytes(187)) * 3,
    ],
    ids=["mp4", "fragment", "mkv", "avi", "flv", "ts"],
)
def test_videos(body: bytes) -> None:
    assert answers.is_video(body)
    assert not answers.is_picture(body)
    assert not answers.page_type(body)


def test_avif_is_a_picture_and_no_video() -> None:
    body = b"\x00\x00\x00\x1cftypavif" + bytes(16)
    assert answers.is_picture(body)
    assert not answers.is_video(body)


@pytest.mark.parametrize(
    ("body", "is_one"),
    [
        (b"#EXTM3U\n#EXT-X-VERSION:3\n", True),
        (b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">', True),
        (b'<?xml version="1.0"?><status/>', False),
    ],
)
def test_playlists_are_no_pages(body: bytes, is_one: bool) -> None:
    assert answers.is_playlist(body) == is_one


@pytest.mark.parametrize(
    "wrapped",
    [
        PART,
        PART + b"--frame--\r\n",
        b"\r\n" + PART,
        b"Content-Type: image/jpeg\r\n\r\n" + JPEG + b"\r\n",
        b"\r\n\r\n" + JPEG,
    ],
)
def test_one_jpeg_in_a_wrapping_is_taken_out_of_it(wrapped: bytes) -> None:
    assert answers.is_wrapped(wrapped)
    assert answers.unwrapped(wrapped) == JPEG


@pytest.mark.parametrize("page", [b"<html><img src='data:" + JPEG, b'{"image": "' + JPEG, b"\x01\x02" + JPEG])
def test_a_jpeg_inside_something_else_is_left_there(page: bytes) -> None:
    assert not answers.is_wrapped(page)
    assert answers.unwrapped(page) == page


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        (JPEG, ""),
        (EXIF, ""),
        (JPEG + bytes(500), ""),
        (JPEG[:-2], "end"),
        (JPEG[: len(JPEG) // 2], "end"),
        (EXIF[: len(JPEG) + 20], "rows"),
        (JPEG[:40], "rows"),
        (encoded(".png"), ""),
        (encoded(".png")[:-20], "rows"),
        (encoded(".webp"), ""),
        (encoded(".webp")[:-20], "rows"),
        (encoded(".bmp"), ""),
        (encoded(".bmp")[:-20], "rows"),
        (GIF, ""),
    ],
)
def test_what_a_picture_lacks(body: bytes, missing: str) -> None:
    assert answers.missing_part(body) == missing


def test_no_bytes_are_too_odd_to_be_looked_at() -> None:
    noise = np.random.default_rng(2)
    for size in range(300):
        for begin in (b"", answers.SOI, b"--frame\r\n", b"RIFF", b"BM", b"\x89PNG"):
            body = begin + noise.bytes(size)
            answers.unwrapped(body)
            answers.missing_part(body)
            answers.page_type(body)
            answers.is_video(body)
