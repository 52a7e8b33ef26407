"""Files made to cost memory or time, or to crash a decoder: refused early, cheaply, by name."""

import resource
import struct
import time
from collections.abc import Callable

import pytest

from inference.image import probe
from schemas.errors import BadFrame
from tests.support.images import (
    MAX_PIXELS,
    WHOLE,
    bomb_bmp,
    bomb_gif,
    bomb_png,
    bomb_webp,
    corners,
    decode_rgb,
    encoded,
    refusal,
    textured,
    tiled_tiff,
    with_size,
)


@pytest.mark.parametrize(
    "make",
    [
        lambda: bomb_png(20_000),
        lambda: bomb_gif(20_000),
        lambda: bomb_webp(16_383),
        lambda: bomb_bmp(20_000),
        lambda: b"P6 20000 20000 1023\n",
        lambda: with_size(encoded(corners()), 65_500, 65_500),
        lambda: with_size(encoded(corners(), progressive=True), 20_000, 20_000),
    ],
    ids=["png", "gif", "webp", "bmp", "ppm", "jpeg", "progressive jpeg"],
)
def test_a_bomb_is_refused_by_its_header_fast_and_small(make: Callable[[], bytes]) -> None:
    data = make()
    before_kib, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    fault = refusal(data)
    assert time.thread_time() - start < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50 * 1024
    assert fault.reason == "too_many_pixels"
    assert "limit is 50 million" in fault.detail


def test_the_pixel_limit_is_the_one_passed_in() -> None:
    data = encoded(corners())
    assert decode_rgb(data, WHOLE, 64 * 48).shape == (48, 64, 3)
    with pytest.raises(BadFrame, match="too_many_pixels"):
        decode_rgb(data, WHOLE, 64 * 48 - 1)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_higher_limit_holds_too_up_to_that_of_pillow() -> None:
    assert probe(bomb_png(10_000), 150_000_000).width == 10_000
    with pytest.raises(BadFrame, match="too_many_pixels"):
        probe(bomb_png(14_000), 10**9)


@pytest.mark.parametrize(
    "between", [b"", b"!\xfe\x05hello\x00", b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\x00", b"!\xf9\x00\x01!\x00", b"??"]
)
@pytest.mark.parametrize("disposal", [0, 2, 3])
def test_a_gif_frame_beyond_its_screen_is_seen_before_it_is_made(between: bytes, disposal: int) -> None:
    control = b"!\xf9\x04" + bytes([disposal << 2, 0, 0, 0]) + b"\x00"
    data = bomb_gif(60_000, between + control)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(data).reason == "too_many_pixels"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 20 * 1024


def test_a_gif_with_endless_junk_is_refused() -> None:
    data = encoded(corners(), "GIF")
    start = time.thread_time()
    assert refusal(data[:13] + b"?" * 2**20 + data[13:]).reason == "decode_failed"
    assert time.thread_time() - start < 0.5


def test_a_tiff_tile_larger_than_its_picture_is_refused() -> None:
    assert decode_rgb(tiled_tiff(16), WHOLE, MAX_PIXELS).shape == (16, 16, 3)
    assert refusal(tiled_tiff(8192)).reason == "too_many_pixels"


def test_a_progressive_jpeg_with_endless_scans_is_refused() -> None:
    data = encoded(textured(), progressive=True)
    last = data.rindex(b"\xff\xda")
    assert refusal(data[:-2] + data[last:-2] * 300 + data[-2:]).reason == "too_many_pixels"


@pytest.mark.parametrize("white", [100, 1023, 65535])
@pytest.mark.parametrize("kind", ["P5", "P6"])
def test_samples_of_a_pgm_or_ppm_are_not_read_one_by_one(kind: str, white: int) -> None:
    data = f"{kind} 1280 960 {white}\n".encode() + bytes(1280 * 960 * 6)
    start = time.thread_time()
    assert decode_rgb(data, WHOLE, MAX_PIXELS).shape == (960, 1280, 3)
    assert time.thread_time() - start < 0.5


@pytest.mark.parametrize("filler", [b" ", b"# nothing to see here\n", b"#" * 79 + b"\n"])
def test_a_ppm_with_an_endless_header_is_refused(filler: bytes) -> None:
    data = b"P6\n" + filler * (6 * 2**20 // len(filler)) + b"64 48 255\n" + bytes(64 * 48 * 3)
    start = time.thread_time()
    assert refusal(data).reason == "decode_failed"
    assert time.thread_time() - start < 0.5


@pytest.mark.parametrize("white", [0, 65536, 9999999999])
def test_a_ppm_without_a_white_that_there_is_is_refused(white: int) -> None:
    assert refusal(f"P6 2 2 {white}\n".encode() + bytes(64)).reason == "decode_failed"


def one_component_scans(numbers: list[int], width: int = 320, height: int = 240) -> bytes:
    """A sequential JPEG of 3 components with an empty scan for each of `numbers`."""
    whole = with_size(encoded(textured()), width, height)
    scans = b"".join(
        b"\xff\xda\x00\x08\x01" + bytes([number, 0x00 if number == 1 else 0x11, 0, 63, 0]) for number in numbers
    )
    return whole[: whole.index(b"\xff\xda")] + scans + b"\xff\xd9"


def test_a_sequential_jpeg_has_no_more_scans_than_components() -> None:
    assert decode_rgb(one_component_scans([1, 2, 3]), WHOLE, MAX_PIXELS).shape == (240, 320, 3)
    start = time.thread_time()
    fault = refusal(one_component_scans([1, 2, 3] * 700, 2000, 2000))
    assert time.thread_time() - start < 0.5
    assert (fault.reason, fault.detail) == ("too_many_pixels", "sequential JPEG of 2000x2000 pixels in 2100 scans")


def test_scans_behind_one_that_holds_all_components_cost_nothing() -> None:
    whole = with_size(encoded(textured()), 2000, 2000)
    at = whole.index(b"\xff\xda")
    again = whole[at : at + 14] * 1000
    start = time.thread_time()
    refusal(whole[:-2] + again + whole[-2:])
    assert time.thread_time() - start < 0.5


def test_a_second_frame_header_is_refused() -> None:
    data = encoded(corners())
    at = data.index(b"\xff\xc0")
    header = data[at : at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]]
    huge = with_size(header, 60_000, 60_000) if header.find(b"\xff\xc0") > 0 else header
    assert refusal(data[:at] + huge + data[at:]).reason == "decode_failed"


def test_a_flood_of_segments_is_refused() -> None:
    data = encoded(corners())
    flood = data[:2] + b"\xff\xfe\x00\x02" * 500_000 + data[2:]
    start = time.thread_time()
    assert refusal(flood).reason == "decode_failed"
    assert time.thread_time() - start < 0.5


def test_no_height_and_no_size() -> None:
    assert refusal(with_size(encoded(corners()), 64, 0)).reason == "decode_failed"
    assert refusal(with_size(encoded(corners()), 0, 48)).reason == "decode_failed"


@pytest.mark.parametrize("place", [3, 4, 5, 20, 21])
def test_a_header_that_only_simplejpeg_cannot_name_is_no_crash(place: int) -> None:
    """Its header reading answers some of these with a KeyError."""
    data = encoded(corners())
    for broken in (data[:place] + data[place + 1 :], data[:place] + b"\xe3" + data[place + 1 :]):
        try:
            assert decode_rgb(broken, WHOLE, MAX_PIXELS).shape[2] == 3
        except BadFrame as fault:
            assert fault.reason in ("truncated", "decode_failed")


def test_twelve_bit_jpeg_is_refused() -> None:
    data = encoded(corners())
    at = data.index(b"\xff\xc0")
    assert refusal(data[: at + 4] + b"\x0c" + data[at + 5 :]).reason == "decode_failed"
