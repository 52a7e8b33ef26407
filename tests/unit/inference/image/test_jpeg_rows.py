"""A JPEG is judged by its rows: what a camera adds or leaves out beside them is no damage, and what is missing is."""

import time

import numpy as np
import pytest
from PIL import Image

from inference.image import prepare
from inference.image.decode import DecodedImage, decode
from inference.image.jpeg_rows import STRAY_BYTES_MAX
from schemas.errors import BadFrame
from schemas.records import PixelEncoding
from tests.support.images import MAX_PIXELS, WHOLE, Square, encoded, textured, with_segment
from tests.support.jpegs import (
    EOI,
    GREY_410,
    GREY_411,
    GREY_441,
    ODD_420,
    Factors,
    mosaic,
    mosaic_jpeg,
    short_of,
    with_stray_bytes,
    without_interval,
)

PICTURE = Image.fromarray(textured(328, 240))
KINDS = {
    "sequential": encoded(PICTURE),
    "optimised": encoded(PICTURE, optimize=True),
    "progressive": encoded(PICTURE, progressive=True),
    "restarts": encoded(PICTURE, restart_marker_rows=1),
    "progressive restarts": encoded(PICTURE, progressive=True, restart_marker_rows=1),
    "4:4:4": encoded(PICTURE, subsampling=0),
    "grey": encoded(PICTURE.convert("L"), restart_marker_blocks=7),
    "CMYK": encoded(PICTURE.convert("CMYK")),
    "CMYK restarts": encoded(PICTURE.convert("CMYK"), restart_marker_rows=1),
    "4:1:0": mosaic_jpeg(mosaic(32, 24), GREY_410),
    "4:1:0 restarts": mosaic_jpeg(mosaic(32, 24), GREY_410, 8),
}
WITH_RESTARTS = [kind for kind in KINDS if "restarts" in kind or kind == "grey"]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
PADDINGS = (b"\0", b"\xff", b" ", b"\xaa", b"\xd9", b"\xda", b"\x01")


def is_right(data: bytes, whole: bytes) -> bool:
    """Undamaged, and with the same pixels as the whole file."""
    image = decode(data, WHOLE, MAX_PIXELS)
    return not image.damaged and np.array_equal(image.rgb, decode(whole, WHOLE, MAX_PIXELS).rgb)


def is_bad(data: bytes, min_side: int = WHOLE) -> bool:
    try:
        image: DecodedImage = decode(data, min_side, MAX_PIXELS)
    except BadFrame as fault:
        return fault.reason in ("truncated", "decode_failed")
    return image.damaged


@EVERY_KIND
def test_the_whole_file_is_right(kind: str) -> None:
    assert is_right(KINDS[kind], KINDS[kind])


@EVERY_KIND
def test_an_end_marker_may_be_missing(kind: str) -> None:
    assert is_right(KINDS[kind][:-2], KINDS[kind])


@EVERY_KIND
@pytest.mark.parametrize("byte", PADDINGS)
@pytest.mark.parametrize("end", [b"", EOI], ids=["no end marker", "end marker"])
def test_padding_of_any_byte_is_no_damage(kind: str, byte: bytes, end: bytes) -> None:
    for length in (1, 7, 4096):
        assert is_right(KINDS[kind][:-2] + byte * length + end, KINDS[kind])


@EVERY_KIND
@pytest.mark.parametrize("padding", [b"", b"\0", b"\xff", b"\xaa"])
@pytest.mark.parametrize("end", [b"", EOI], ids=["no end marker", "end marker"])
def test_missing_rows_stay_bad_whatever_follows(kind: str, padding: bytes, end: bytes) -> None:
    for share, min_side in ((0.7, WHOLE), (0.3, 60), (0.1, WHOLE), (0.02, WHOLE), (0.02, 60)):
        assert is_bad(short_of(KINDS[kind], share) + padding * 20_000 + end, min_side)


@EVERY_KIND
def test_missing_rows_without_an_end_marker_are_truncated(kind: str) -> None:
    with pytest.raises(BadFrame, match="truncated"):
        decode(short_of(KINDS[kind], 0.3), WHOLE, MAX_PIXELS)


def test_missing_rows_of_a_black_lower_half_stay_bad() -> None:
    """Its data is regular, and some padding is decoded like more of it."""
    pixels = textured(320, 240)
    pixels[120:] = 0
    for options in ({}, {"progressive": True}, {"restart_marker_rows": 1}):
        data = encoded(pixels, **options)
        assert is_right(data[:-2] + bytes(5000), data)
        assert is_bad(short_of(data, 0.5) + bytes(5000))


@pytest.mark.parametrize("kind", WITH_RESTARTS)
@pytest.mark.parametrize("most", [1, 4, STRAY_BYTES_MAX])
def test_stray_bytes_before_restart_markers_are_no_damage(kind: str, most: int) -> None:
    data = with_stray_bytes(KINDS[kind], most)
    assert is_right(data, KINDS[kind])
    assert is_right(data[:-2] + bytes(3000), KINDS[kind])


@pytest.mark.parametrize("kind", WITH_RESTARTS)
@pytest.mark.parametrize("number", [0, 5])
def test_a_lost_restart_interval_is_damage_with_and_without_stray_bytes(kind: str, number: int) -> None:
    lost = without_interval(KINDS[kind], number)
    assert is_bad(lost)
    assert is_bad(with_stray_bytes(lost, 4))


@pytest.mark.parametrize("kind", ["restarts", "grey", "4:1:0 restarts", "CMYK restarts"])
def test_an_interval_cut_short_is_not_hidden_by_stray_bytes_before_it(kind: str) -> None:
    """The decoder tells its first warning only."""
    data = with_stray_bytes(KINDS[kind], 4)
    at = data.index(b"\xff\xd5")
    assert is_bad(data[: at - 20] + data[at:])


def test_a_last_interval_that_never_came_is_damage() -> None:
    data = KINDS["progressive restarts"]
    last = max(data.rindex(bytes([0xFF, marker])) for marker in range(0xD0, 0xD8))
    for end in (EOI, b"\xaa" * 10 + EOI, b"\xaa" * 5000):
        assert is_bad(data[:last] + end)


@pytest.mark.parametrize("factors", [GREY_410, GREY_411, GREY_441, ODD_420], ids=str)
@pytest.mark.parametrize("restart", [0, 5])
def test_rare_sampling_factors_are_no_damage(factors: Factors, restart: int) -> None:
    levels = mosaic(32, 24)
    image = decode(mosaic_jpeg(levels, factors, restart), WHOLE, MAX_PIXELS)
    assert not image.damaged
    expected = np.kron(levels, np.ones((8, 8), np.int16))[..., None]
    assert np.abs(image.rgb.astype(np.int16) - expected).max() <= 2


def test_a_progressive_file_that_lacks_its_last_scans_is_truncated() -> None:
    data = KINDS["progressive"]
    scans = [at for at in range(len(data)) if data.startswith(b"\xff\xda", at)]
    for scan in scans[1:]:
        table = data.rfind(b"\xff\xc4", 0, scan)
        for end in (scan, table, table + 2, scan + 2):
            with pytest.raises(BadFrame, match="truncated"):
                decode(data[:end], WHOLE, MAX_PIXELS)


@pytest.mark.parametrize("marker", [0xE0, 0xE1, 0xE2, 0xED, 0xFE])
@pytest.mark.parametrize("kind", ["sequential", "progressive", "CMYK", "4:1:0"])
def test_broken_metadata_is_no_damage(kind: str, marker: int) -> None:
    for payload in (b"", b"\xff" * 900, b"JFIF\0\x09", b"Exif\0\0" + b"\xff" * 50, b"ICC_PROFILE\0\0\0", b"MPF\0\xff"):
        data = with_segment(KINDS[kind], marker, payload)
        assert is_right(data, KINDS[kind])
        assert is_right(data[:-2], KINDS[kind])


def test_a_file_of_such_a_camera_is_not_flagged() -> None:
    data = with_stray_bytes(KINDS["restarts"], 4)[:-2] + bytes(4000)
    assert "damaged" not in prepare(data, Square(), PixelEncoding.I420, MAX_PIXELS).quality.flags
    assert "damaged" in prepare(without_interval(data, 3), Square(), PixelEncoding.I420, MAX_PIXELS).quality.flags


def test_many_restart_intervals_with_stray_bytes_take_no_long_time() -> None:
    data = with_stray_bytes(encoded(textured(1920, 1080), restart_marker_blocks=2), 2)
    start = time.thread_time()
    assert not decode(data, WHOLE, MAX_PIXELS).damaged
    assert time.thread_time() - start < 2


def test_more_restart_intervals_than_that_are_not_looked_at() -> None:
    data = with_stray_bytes(encoded(textured(1920, 1080), restart_marker_blocks=1), 2)
    start = time.thread_time()
    assert decode(data, WHOLE, MAX_PIXELS).damaged
    assert time.thread_time() - start < 2
