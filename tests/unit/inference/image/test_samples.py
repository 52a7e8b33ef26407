"""Samples of more than 8 bits: a picture of a sensor is seen and not black."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from inference.image import SampleRange, prepare, probe
from inference.image.decode import decode
from inference.image.samples import FLAT_STEPS_MAX
from schemas.errors import BadFrame
from schemas.records import PixelEncoding
from tests.support.images import MAX_PIXELS, WHOLE, Square, encoded, textured

Samples = npt.NDArray[np.uint16]
Order = Literal["<", ">"]
ORDERS: tuple[Order, ...] = ("<", ">")
SENSORS = [(7000, 9200), (0, 1023), (60, 4000), (0, 65535), (40_000, 40_200)]


def spread(picture: npt.NDArray[np.uint8], low: int, high: int) -> Samples:
    """The picture as a sensor gives it whose values go from `low` to `high`."""
    steps = (picture.astype(np.float64) - picture.min()) / np.ptp(picture)
    return np.asarray(np.rint(low + steps * (high - low)), dtype=np.uint16)


def png(samples: Samples) -> bytes:
    """Grey, RGB or RGBA."""
    order = [0, 1, 2, 3][: samples.shape[2]] if samples.ndim == 3 else []
    if order:
        samples = np.ascontiguousarray(samples[..., [2, 1, 0, *order[3:]]])
    return bytes(cv2.imencode(".png", samples)[1])


def written(values: npt.NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def png_grey_alpha(samples: Samples) -> bytes:
    height, width = samples.shape
    pixels = np.dstack([samples, np.full_like(samples, 65535)]).astype(">u2")
    body = zlib.compress(b"".join(b"\0" + pixels[row].tobytes() for row in range(height)))
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 4, 0, 0, 0)), (b"IDAT", body), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(samples: Samples, order: Order, compression: str | None) -> bytes:
    buffer = io.BytesIO()
    colour = samples.ndim == 3
    tifffile.imwrite(
        buffer,
        samples,
        byteorder=order,
        compression=compression,
        predictor=bool(compression),
        photometric="rgb" if colour else "minisblack",
        extrasamples=["unassalpha"] if colour and samples.shape[2] == 4 else None,
    )
    return buffer.getvalue()


def netpbm(samples: Samples) -> bytes:
    head = f"{'P6' if samples.ndim == 3 else 'P5'} {samples.shape[1]} {samples.shape[0]} 65535\n"
    return head.encode() + samples.astype(">u2").tobytes()


def with_alpha(samples: Samples) -> Samples:
    return np.dstack([samples, np.full(samples.shape[:2], 65535, np.uint16)])


WRITERS: dict[str, Callable[[Samples], bytes]] = {
    "PNG": png,
    "PNG alpha": lambda samples: png(with_alpha(samples)) if samples.ndim == 3 else png_grey_alpha(samples),
    "PNM": netpbm,
    **{
        f"TIFF {order} {compression}": lambda samples, order=order, compression=compression: tiff(  # type: ignore[misc]
            samples, order, compression
        )
        for order in ORDERS
        for compression in (None, "zlib")
    },
}


@pytest.mark.parametrize("sensor", SENSORS, ids=str)
@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_the_range_of_the_picture_is_spread(sensor: tuple[int, int], kind: str, colour: bool) -> None:
    picture = textured() if colour else textured()[..., 1]
    data = WRITERS[kind](spread(picture, *sensor))
    expected = np.broadcast_to(spread(picture, 0, 255).reshape(240, 320, -1), (240, 320, 3)).astype(int)
    image = decode(data, WHOLE, MAX_PIXELS)
    assert np.abs(image.rgb.astype(int) - expected).max() <= 4
    assert image.info.mode == probe(data, MAX_PIXELS).mode or kind == "PNM"


def test_transparency_of_sixteen_bits_lies_on_middle_grey() -> None:
    samples = with_alpha(spread(textured(), 7000, 9200))
    samples[:, :160, 3] = 0
    for data in (png(samples), tiff(samples, "<", None)):
        rgb = decode(data, WHOLE, MAX_PIXELS).rgb
        assert (rgb[:, :160] == 128).all()
        assert np.ptp(rgb[:, 160:]) > 200


def test_dead_and_hot_pixels_do_not_decide_the_range() -> None:
    samples = spread(textured()[..., 1], 7000, 9200)
    sound = decode(png(samples), WHOLE, MAX_PIXELS).rgb.astype(int)
    samples[0, 0], samples[5, 5], samples[50, 60:70] = 0, 65535, 65535
    assert np.median(np.abs(decode(png(samples), WHOLE, MAX_PIXELS).rgb.astype(int) - sound)) <= 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_the_full_range_is_the_upper_eight_bits(kind: str) -> None:
    samples = np.array([[0, 128, 257, 0x1234], [0x7FFF, 0x8000, 0xFEFF, 0xFFFF]], np.uint16)
    rgb = decode(encoded(Image.fromarray(samples), kind), WHOLE, MAX_PIXELS, SampleRange.parse("full")).rgb
    assert np.abs(rgb[..., 0].astype(int) - (samples >> 8)).max() <= 1
    assert (rgb[..., 0] == rgb[..., 2]).all()


def test_a_named_range_holds_whatever_the_picture_holds() -> None:
    samples = np.array([[100, 1000, 1500, 2000, 60_000]], np.uint16)
    named = SampleRange.parse("1000-2000")
    for data in (png(samples), netpbm(samples), tiff(samples, ">", None)):
        assert decode(data, WHOLE, MAX_PIXELS, named).rgb[0, :, 0].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("value", [200, 40_000])
def test_a_flat_picture_keeps_its_brightness(value: int) -> None:
    """Spreading the noise of a covered lens would make a picture of nothing."""
    noise = np.random.default_rng(1).integers(0, FLAT_STEPS_MAX, (48, 64), np.uint16) + np.uint16(value)
    for data in (png(noise), netpbm(noise)):
        rgb = decode(data, WHOLE, MAX_PIXELS).rgb
        assert rgb.min() >= value // 257 - 1
        assert rgb.max() <= value // 257 + 2


def test_eight_bits_are_left_as_they_are() -> None:
    dim = (textured() // 8).astype(np.uint8)
    for kind in ("PNG", "TIFF", "PPM"):
        assert np.array_equal(decode(encoded(dim, kind), WHOLE, MAX_PIXELS).rgb, dim)


@pytest.mark.parametrize("kind", [np.float32, np.int32, np.int16], ids=lambda kind: str(kind.__name__))
def test_temperatures_in_other_numbers_are_spread_too(kind: type[np.generic]) -> None:
    picture = textured()[..., 1]
    low, high = (290, 310) if kind is np.float32 else (-500, 2500)
    values = (low + spread(picture, 0, 65535) / 65535 * (high - low)).astype(kind)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values)
    rgb = decode(buffer.getvalue(), WHOLE, MAX_PIXELS).rgb[..., 0].astype(int)
    assert np.abs(rgb - spread(picture, 0, 255)).max() <= 4


@pytest.mark.parametrize("share", [0.0005, 0.2])
@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf], ids=str)
def test_pixels_without_a_number_do_not_decide_the_range(lost: float, share: float) -> None:
    picture = textured()[..., 1]
    values = (290 + spread(picture, 0, 65535) / 65535 * 20).astype(np.float32)
    dead = np.random.default_rng(1).random(values.shape) < share
    values[dead] = lost
    rgb = decode(written(values), WHOLE, MAX_PIXELS).rgb[..., 0].astype(int)
    assert np.abs(rgb - spread(picture, 0, 255))[~dead].max() <= 4
    assert not rgb[dead].any()


def test_a_picture_without_any_number_is_black() -> None:
    assert not decode(written(np.full((64, 64), np.nan, np.float32)), WHOLE, MAX_PIXELS).rgb.any()


def test_a_named_range_holds_for_temperatures_that_look_like_eight_bits() -> None:
    picture = textured()[..., 1]
    values = (15 + spread(picture, 0, 65535) / 65535 * 20).astype(np.float32)
    rgb = decode(written(values), WHOLE, MAX_PIXELS, SampleRange.parse("15-35")).rgb[..., 0].astype(int)
    assert np.abs(rgb - spread(picture, 0, 255)).max() <= 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32], ids=lambda kind: str(kind.__name__))
def test_where_zero_is_white_the_picture_is_no_negative(kind: type[np.generic]) -> None:
    picture = textured()[..., 1]
    low, high = (0, 255) if kind is np.uint8 else (7000, 9200)
    values = spread((255 - picture).astype(np.uint8), low, high).astype(kind)
    rgb = decode(written(values, photometric="miniswhite"), WHOLE, MAX_PIXELS).rgb[..., 0].astype(int)
    assert np.abs(rgb - spread(picture, 0, 255)).max() <= 4


def test_planes_that_would_be_read_as_noise_are_refused() -> None:
    buffer = io.BytesIO()
    planes = np.ascontiguousarray(spread(textured(), 7000, 9200).transpose(2, 0, 1))
    tifffile.imwrite(buffer, planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(BadFrame, match="unsupported_format"):
        decode(buffer.getvalue(), WHOLE, MAX_PIXELS)


def test_the_model_sees_the_picture() -> None:
    data = png(spread(textured(640, 480)[..., 1], 7000, 9200))
    quality = prepare(data, Square(), PixelEncoding.I420, MAX_PIXELS).quality
    assert quality.contrast > 30
    assert {"dark", "flat"}.isdisjoint(quality.flags)
    full = prepare(data, Square(), PixelEncoding.I420, MAX_PIXELS, SampleRange.parse("full")).quality
    assert "flat" in full.flags
