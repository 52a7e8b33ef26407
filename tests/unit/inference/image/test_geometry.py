"""Orientation, cut, scale and I420."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from inference.image import prepare, probe
from inference.image.color import i420_planes
from inference.image.geometry import centre_cut, upright
from inference.image.jpeg_header import exif_orientation, read_jpeg_header
from schemas.records import PixelEncoding
from tests.support.images import (
    MAX_PIXELS,
    Square,
    corner_colours,
    corners,
    decode_rgb,
    encoded,
    exif,
    textured,
    to_i420,
    to_model_input,
    with_exif,
)

WHOLE = 10**6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_jpeg_orientation_is_undone_as_pillow_does(orientation: int, order: str) -> None:
    data = with_exif(encoded(corners()), exif(orientation, order))
    info = probe(data, MAX_PIXELS)
    assert info.orientation == orientation
    rgb = decode_rgb(data, WHOLE, MAX_PIXELS)
    assert info.upright_size == (rgb.shape[1], rgb.shape[0]) == ((48, 64) if orientation >= 5 else (64, 48))
    reference = Image.Exif()
    reference[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(corners(), exif=reference.tobytes())))))
    assert corner_colours(rgb) == corner_colours(expected)
    assert rgb.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_other_formats_are_turned_too_and_once(orientation: int, kind: str) -> None:
    block = Image.Exif()
    block[0x0112] = orientation
    data = encoded(corners(), kind, exif=block if kind == "TIFF" else block.tobytes())
    jpeg = with_exif(encoded(corners()), exif(orientation))
    assert corner_colours(decode_rgb(data, WHOLE, MAX_PIXELS)) == corner_colours(decode_rgb(jpeg, WHOLE, MAX_PIXELS))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_prepare_turns_the_cut_as_decode_turns_the_picture(orientation: int) -> None:
    data = with_exif(encoded(textured(640, 480), quality=95), exif(orientation))
    prepared = prepare(data, Square(), PixelEncoding.RGB24, MAX_PIXELS)
    ours = np.frombuffer(prepared.pixels, np.uint8).reshape(224, 224, 3)
    theirs = to_model_input(decode_rgb(data, 240, MAX_PIXELS))
    assert np.abs(ours.astype(int) - theirs).mean() < 1.0


@pytest.mark.parametrize("orientation", [1, 6])
def test_prepare_turns_a_cut_that_is_not_square(orientation: int) -> None:
    class Wide:
        width, height, resize = 224, 160, 256

    data = with_exif(encoded(textured(480, 640), quality=95), exif(orientation))
    prepared = prepare(data, Wide(), PixelEncoding.RGB24, MAX_PIXELS)
    ours = np.frombuffer(prepared.pixels, np.uint8).reshape(160, 224, 3)
    theirs = centre_cut(decode_rgb(data, 240, MAX_PIXELS), 224, 160, 256)
    assert np.abs(ours.astype(int) - theirs).mean() < 1.0


def test_turning_there_and_back() -> None:
    back = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
    for orientation, inverse in back.items():
        assert (upright(upright(corners(), orientation), inverse) == corners()).all()


@pytest.mark.parametrize(
    "block",
    [
        exif(0),
        exif(9),
        exif(99),
        exif(65535),
        exif(6, count=3),
        exif(6, count=0),
        exif(6, kind=2),
        exif(6)[:12],
        exif(6)[:7],
        b"",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff",
        b"XX" + exif(6)[2:],
    ],
)
def test_broken_exif_means_orientation_1_and_never_a_bad_frame(block: bytes) -> None:
    assert exif_orientation(block) == 1
    assert corner_colours(decode_rgb(with_exif(encoded(corners()), block), WHOLE, MAX_PIXELS))[0] == "red"
    for kind in ("PNG", "WEBP"):
        data = encoded(corners(), kind, exif=block or b"\0")
        assert decode_rgb(data, WHOLE, MAX_PIXELS).shape == (48, 64, 3)


def test_orientation_as_a_long_and_the_first_exif_block_counts() -> None:
    assert exif_orientation(exif(6, kind=4)) == 6
    assert exif_orientation(exif(6, count=2)) == 6
    data = with_exif(with_exif(encoded(corners()), exif(3)), exif(6))
    assert read_jpeg_header(data).orientation == 6


def test_the_cut_is_the_centre_of_the_picture_scaled_to_256() -> None:
    rgb = textured(400, 300)
    scaled = cv2.resize(rgb, (341, 256), interpolation=cv2.INTER_LINEAR)
    expected = scaled[16:240, 58:282]
    ours = to_model_input(rgb)
    assert ours.shape == (224, 224, 3)
    assert np.abs(ours.astype(int) - expected).mean() < 4


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 4000), (4000, 1), (60, 8000), (224, 224), (256, 256), (257, 3), (2048, 2048)]
)
def test_every_shape_gives_the_models_shape(shape: tuple[int, int]) -> None:
    ours = to_model_input(np.full((*shape, 3), 77, np.uint8))
    assert ours.shape == (224, 224, 3)
    assert (ours == 77).all()
    assert ours.flags["C_CONTIGUOUS"]


def test_i420_is_the_equation_of_its_docstring() -> None:
    rgb = textured(32, 24)
    planes = np.frombuffer(to_i420(rgb), np.uint8)
    assert len(planes) == 32 * 24 * 3 // 2
    red, green, blue = (rgb[..., channel].astype(np.float64) for channel in range(3))
    luma = 16 + 0.256999969 * red + 0.50399971 * green + 0.09799957 * blue
    assert np.abs(planes[: 32 * 24].reshape(24, 32) - luma).max() <= 1
    corner = rgb[::2, ::2].astype(np.float64)
    u = 128 + corner @ (-0.148000002, -0.290999770, 0.438999176)
    v = 128 + corner @ (0.438999176, -0.367999077, -0.070999146)
    assert np.abs(planes[768:960].reshape(12, 16) - u).max() <= 1
    assert np.abs(planes[960:].reshape(12, 16) - v).max() <= 1


def test_i420_of_each_corner_colour_comes_back() -> None:
    rgb = corners()
    planes = np.frombuffer(to_i420(rgb), np.uint8).reshape(72, 64)
    assert np.abs(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420).astype(int) - rgb).max() <= 3


@pytest.mark.parametrize("size", [(1, 2), (2, 1), (3, 3), (3, 4), (4, 3), (225, 1), (1, 225), (225, 299), (226, 331)])
def test_i420_of_odd_sides_is_the_same_equation(size: tuple[int, int]) -> None:
    """The last column and row have chroma samples of their own; luma is as in any other."""
    width, height = size
    rgb = np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)
    yuv = np.frombuffer(to_i420(rgb), np.uint8)
    assert len(yuv) == PixelEncoding.I420.image_bytes(width, height)
    luma, chroma = i420_planes(yuv, width, height)
    exact = rgb.astype(np.float64)
    assert np.abs(luma - (16 + exact @ (0.256999969, 0.50399971, 0.09799957))).max() <= 1
    assert np.abs(chroma[0] - (128 + exact[::2, ::2] @ (-0.148000002, -0.290999770, 0.438999176))).max() <= 1
    assert np.abs(chroma[1] - (128 + exact[::2, ::2] @ (0.438999176, -0.367999077, -0.070999146))).max() <= 1


@pytest.mark.parametrize("encoding", [PixelEncoding.I420, PixelEncoding.RGB24])
def test_the_bytes_of_an_image_of_even_sides_are_those_of_earlier_versions(encoding: PixelEncoding) -> None:
    assert encoding.image_bytes(224, 160) == 224 * 160 * (3 if encoding is PixelEncoding.RGB24 else 1.5)
