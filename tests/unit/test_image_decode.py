"""Every format and every kind of damage, made on the spot."""

import io
import resource
import struct
import time
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from PIL import Image

from inference.image import decode_rgb, probe
from inference.image.decode import decode
from schemas.errors import BadFrame
from tests.support.images import (
    MAX_PIXELS,
    bomb_bmp,
    bomb_gif,
    bomb_png,
    bomb_webp,
    corner_colours,
    corners,
    encoded,
    textured,
    tiled_tiff,
    with_segment,
    with_size,
)

UPRIGHT = ["red", "green", "blue", "white"]
WHOLE = 10**6  # a short side that no picture has: decode all of it


@cache
def whole_file(kind: str) -> bytes:
    return encoded(textured(), kind)


def refusal(data: bytes, min_side: int = WHOLE) -> BadFrame:
    with pytest.raises(BadFrame) as caught:
        decode_rgb(data, min_side, MAX_PIXELS)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"quality": 95}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("JPEG2000", {}),
        ("AVIF", {"quality": 95}),
        ("PPM", {}),
    ],
)
def test_each_format_decodes_to_the_picture_it_holds(kind: str, options: dict[str, object]) -> None:
    data = encoded(corners(), kind, **options)
    info = probe(data, MAX_PIXELS)
    assert (info.format, info.width, info.height) == (kind, 64, 48)
    rgb = decode_rgb(data, WHOLE, MAX_PIXELS)
    assert rgb.shape == (48, 64, 3)
    assert rgb.dtype == np.uint8
    assert corner_colours(rgb) == UPRIGHT


def test_multi_picture_jpeg_gives_its_first_picture() -> None:
    first, second = Image.fromarray(corners()), Image.fromarray(corners()[::-1])
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert corner_colours(decode_rgb(data, WHOLE, MAX_PIXELS)) == UPRIGHT


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    first, second = Image.fromarray(corners()), Image.fromarray(corners()[::-1])
    data = encoded(first, kind, save_all=True, append_images=[second], duration=50)
    assert corner_colours(decode_rgb(data, WHOLE, MAX_PIXELS)) == UPRIGHT


def test_cmyk_and_grey_jpeg() -> None:
    cmyk = encoded(Image.fromarray(corners()).convert("CMYK"), quality=95)
    assert probe(cmyk, MAX_PIXELS).mode == "CMYK"
    assert corner_colours(decode_rgb(cmyk, WHOLE, MAX_PIXELS)) == UPRIGHT
    grey = encoded(Image.fromarray(corners()).convert("L"))
    assert probe(grey, MAX_PIXELS).mode == "L"
    assert np.ptp(decode_rgb(grey, WHOLE, MAX_PIXELS).astype(int), axis=2).max() == 0


def test_cmyk_jpeg_is_shrunk_as_well() -> None:
    data = encoded(Image.fromarray(textured(800, 600)).convert("CMYK"))
    assert min(decode_rgb(data, 100, MAX_PIXELS).shape[:2]) in range(100, 200)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_become_the_upper_eight(kind: str) -> None:
    samples = np.array([[0, 255, 256, 0x1234], [0x7FFF, 0x8000, 0xFEFF, 0xFFFF]], np.uint16)
    rgb = decode_rgb(encoded(Image.fromarray(samples), kind), WHOLE, MAX_PIXELS)
    assert rgb[..., 0].tolist() == [[0, 0, 1, 0x12], [0x7F, 0x80, 0xFE, 0xFF]]
    assert (rgb[..., 0] == rgb[..., 2]).all()


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[-1.0, 0.0, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, np.inf, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[0, 32768, 65535]], np.int32), [0, 128, 255]),
        (np.array([[5, 5, 5]], np.int32), [5, 5, 5]),
    ],
)
def test_wide_samples_are_scaled_to_their_white(samples: np.ndarray, expected: list[int]) -> None:
    assert decode_rgb(encoded(Image.fromarray(samples), "TIFF"), WHOLE, MAX_PIXELS)[0, :, 0].tolist() == expected


def test_transparency_lies_on_middle_grey() -> None:
    rgba = np.dstack([corners(), np.full((48, 64), 255, np.uint8)])
    rgba[:, :32, 3] = 0
    rgb = decode_rgb(encoded(rgba, "PNG"), WHOLE, MAX_PIXELS)
    assert (rgb[:, :32] == 128).all()
    assert corner_colours(rgb)[1::2] == ["green", "white"]


def test_a_transparent_palette_entry() -> None:
    indexed = Image.fromarray(np.repeat([[0, 1]], 2, 0).astype(np.uint8), "L").convert("P")
    indexed.putpalette([255, 0, 0, 0, 255, 0])
    rgb = decode_rgb(encoded(indexed, "PNG", transparency=0), WHOLE, MAX_PIXELS)
    assert rgb[0].tolist() == [[128, 128, 128], [0, 255, 0]]


@pytest.mark.parametrize("percent", [1, *range(10, 100, 10), 99])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("min_side", [60, WHOLE])
def test_a_truncated_jpeg_is_refused_as_truncated(percent: int, progressive: bool, min_side: int) -> None:
    data = encoded(textured(), progressive=progressive)
    assert refusal(data[: len(data) * percent // 100], min_side).reason == "truncated"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "JPEG2000", "AVIF", "PPM", "GIF"])
@pytest.mark.parametrize("percent", [10, 50, 90])
def test_other_formats_cut_short_are_refused(kind: str, percent: int) -> None:
    data = whole_file(kind)
    assert refusal(data[: len(data) * percent // 100]).reason in ("truncated", "decode_failed")


def test_a_truncated_cmyk_jpeg_is_refused_as_truncated() -> None:
    data = encoded(Image.fromarray(textured()).convert("CMYK"))
    assert refusal(data[: len(data) // 2]).reason == "truncated"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\xff", "not_an_image"),
        (b"\0" * 65536, "not_an_image"),
        (b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "not_an_image"),
        (b'{"error": "camera offline"}', "not_an_image"),
        (np.random.default_rng(1).bytes(4096), "not_an_image"),
        (b"\xff\xd8", "truncated"),
        (b"\xff\xd8\xff\xd9", "decode_failed"),
        (b"\xff\xd8" + b"\xff" * 100, "truncated"),
        (b"8BPS\0\1" + bytes(100), "unsupported_format"),
        (b"%PDF-1.7", "unsupported_format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "unsupported_format"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unsupported_format"),
        (b"P3\n1 1\n255\n1 2 3\n", "not_an_image"),
    ],
)
def test_what_is_no_image_of_ours_is_named(data: bytes, reason: str) -> None:
    fault = refusal(data)
    assert fault.reason == reason
    assert "0x7f" not in str(fault)  # no addresses of objects in dead letters
    with pytest.raises(BadFrame) as caught:
        probe(data, MAX_PIXELS)
    assert caught.value.reason == reason


def test_the_name_of_a_file_plays_no_part_and_junk_behind_the_picture_no_more() -> None:
    data = encoded(corners())
    for tail in (b"\0" * 2**20, data, b"<html>"):
        assert corner_colours(decode_rgb(data + tail, WHOLE, MAX_PIXELS)) == UPRIGHT


def test_stray_bytes_in_the_header_are_passed_over_and_reported() -> None:
    data = encoded(corners())
    at = data.index(b"\xff\xdb")
    picture = decode(data[:at] + b"\x00" + data[at:], WHOLE, MAX_PIXELS)
    assert picture.damaged
    assert corner_colours(picture.rgb) == UPRIGHT
    assert not decode(data, WHOLE, MAX_PIXELS).damaged


@pytest.mark.parametrize(
    "make",
    [
        lambda: bomb_png(20_000),
        lambda: bomb_gif(20_000),
        lambda: bomb_webp(16_383),
        lambda: bomb_bmp(20_000),
        lambda: with_size(encoded(corners()), 65_500, 65_500),
        lambda: with_size(encoded(corners(), progressive=True), 20_000, 20_000),
    ],
    ids=["png", "gif", "webp", "bmp", "jpeg", "progressive jpeg"],
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


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("size", "min_side", "shape"),
    [
        ((640, 480), 240, (240, 320)),
        ((640, 480), 241, (480, 640)),
        ((1920, 1080), 240, (270, 480)),
        ((3840, 2160), 240, (270, 480)),
        ((101, 67), 20, (34, 51)),
        ((300, 200), 240, (200, 300)),
    ],
)
def test_jpeg_is_shrunk_by_2_4_or_8_and_never_below_the_wanted_side(
    kind: str, size: tuple[int, int], min_side: int, shape: tuple[int, int]
) -> None:
    data = encoded(Image.new("RGB", size, (10, 120, 200)), kind)
    rgb = decode_rgb(data, min_side, MAX_PIXELS)
    if kind == "JPEG":
        assert rgb.shape[:2] == shape
    assert min(rgb.shape[:2]) >= min(min_side, *size)
    assert np.abs(rgb.astype(int) - (10, 120, 200)).max() <= 3


@pytest.mark.parametrize("size", [(1, 1), (4000, 1), (1, 4000), (8000, 60), (7, 3)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_extreme_shapes(size: tuple[int, int], kind: str) -> None:
    data = encoded(Image.new("RGB", size, (200, 100, 50)), kind)
    for min_side in (1, 240, WHOLE):
        rgb = decode_rgb(data, min_side, MAX_PIXELS)
        assert min(rgb.shape[:2]) >= min(size) if min_side > 1 else min(rgb.shape[:2]) >= 1


def test_bytes_from_any_buffer_of_a_message_decode() -> None:
    data = with_segment(encoded(corners()), 0xE2, b"ICC_PROFILE\0\1\1broken")
    assert corner_colours(decode_rgb(bytes(memoryview(data)), WHOLE, MAX_PIXELS)) == UPRIGHT


def test_whatever_pillow_raises_becomes_a_bad_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(corners(), "PNG")
    for fault in (
        RecursionError("deep"),
        MemoryError(),
        struct.error("short"),
        SyntaxError("broken"),
        KeyError("IHDR"),
    ):

        def fail(*_: object, fault: Exception = fault, **__: object) -> None:
            raise fault

        monkeypatch.setattr(Image, "open", fail)
        caught = refusal(data)
        assert caught.reason == "decode_failed"
        assert type(fault).__name__ in caught.detail
    monkeypatch.undo()
    assert Image.open(io.BytesIO(data)).size == (64, 48)
