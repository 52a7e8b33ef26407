"""Every format and every kind of damage, made on the spot."""

import io
import struct
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from inference.image import SampleRange, probe
from inference.image.decode import decode
from schemas.errors import BadFrame
from tests.support.images import (
    MAX_PIXELS,
    WHOLE,
    corner_colours,
    corners,
    decode_rgb,
    encoded,
    refusal,
    textured,
    with_segment,
)

UPRIGHT = ["red", "green", "blue", "white"]


@cache
def whole_file(kind: str) -> bytes:
    return encoded(textured(), kind)


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


def netpbm(rgb: npt.NDArray[np.uint8], white: int, comment: str = "") -> bytes:
    """The picture (grey where it has one channel) in samples of 0 to `white`."""
    kind = "P6" if rgb.ndim == 3 else "P5"
    samples = np.rint(rgb / 255.0 * white).astype(">u2" if white > 255 else np.uint8)
    return f"{kind}\n{comment}{rgb.shape[1]} {rgb.shape[0]}\n{white}\n".encode() + samples.tobytes()


@pytest.mark.parametrize("white", [1, 15, 100, 255, 256, 1023, 4095, 65535])
@pytest.mark.parametrize("comment", ["", "# of a camera\n#\n"])
def test_pgm_and_ppm_of_any_white_hold_the_same_picture(white: int, comment: str) -> None:
    step = 255 / white / 2 + 1
    for picture in (corners(), corners()[..., 1]):
        expected = np.broadcast_to(picture.reshape(48, 64, -1), (48, 64, 3)).astype(int)
        data = netpbm(picture, white, comment)
        rgb = decode(data, WHOLE, MAX_PIXELS, SampleRange.parse("full")).rgb
        assert np.abs(rgb.astype(int) - expected).max() <= step
        info = probe(data, MAX_PIXELS)
        assert (info.format, info.width, info.height) == ("PPM", 64, 48)
        assert refusal(data[:-1]).reason == "truncated"


def test_samples_beyond_white_are_white() -> None:
    assert (decode_rgb(b"P5 2 1 100\n" + bytes([100, 255]), WHOLE, MAX_PIXELS) == 255).all()


def test_a_bitmap_has_no_white_to_name() -> None:
    rgb = decode_rgb(b"P4\n# two pixels\n2 1\n\x40", WHOLE, MAX_PIXELS)
    assert rgb[0, :, 0].tolist() == [255, 0]


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


def test_stray_bytes_in_the_header_are_passed_over() -> None:
    data = encoded(corners())
    at = data.index(b"\xff\xdb")
    picture = decode(data[:at] + b"\x00" + data[at:], WHOLE, MAX_PIXELS)
    assert not picture.damaged
    assert corner_colours(picture.rgb) == UPRIGHT


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
