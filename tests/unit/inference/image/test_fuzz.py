"""No bytes whatever raise anything but BadFrame, and what decodes has the promised shape."""

from functools import cache

import cv2
import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.image import prepare
from inference.image.probe import probe
from schemas.errors import BadFrame
from schemas.records import PixelEncoding
from tests.support.images import Square, encoded, exif, textured, with_exif
from tests.support.jpegs import GREY_410, mosaic, mosaic_jpeg, with_stray_bytes

# Flips in a size field may ask for a large picture: the limit keeps the examples fast, and is itself under test.
MAX_PIXELS = 1_000_000
KINDS = (
    "JPEG",
    "progressive",
    "CMYK",
    "PNG",
    "GIF",
    "WEBP",
    "BMP",
    "TIFF",
    "lzw",
    "JPEG2000",
    "AVIF",
    "PPM",
    "P",
    "I;16",
    "stray",
    "4:1:0",
    "RGB;16 PNG",
    "RGB;16 TIFF",
    "text",
    "WEBP EXIF",
)
FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def sample(kind: str) -> bytes:
    picture = Image.fromarray(textured(48, 40))
    match kind:
        case "JPEG":
            return with_exif(encoded(picture), exif(6))
        case "progressive":
            return encoded(picture, progressive=True)
        case "CMYK":
            return encoded(picture.convert("CMYK"))
        case "lzw":
            return encoded(picture, "TIFF", compression="tiff_lzw")
        case "P":
            return encoded(picture.convert("P"), "PNG", transparency=3)
        case "I;16":
            return encoded(Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257), "PNG")
        case "stray":
            return with_stray_bytes(encoded(picture, restart_marker_blocks=2), 3)[:-2] + bytes(50)
        case "4:1:0":
            return mosaic_jpeg(mosaic(8, 6), GREY_410, 2)[:-2]
        case "RGB;16 PNG" | "RGB;16 TIFF":
            samples = textured(48, 40).astype(np.uint16) * 9 + 7000
            return bytes(cv2.imencode(".png" if kind.endswith("PNG") else ".tiff", samples)[1])
        case "text":
            png = encoded(picture, "PNG")
            return png[:33] + b"\0\0\0\3tEXtk\0x\0\0\0\0" + png[33:]
        case "WEBP EXIF":
            return encoded(picture, "WEBP", exif=b"Exif\0\0" + exif(6), xmp=b"x" * 40)
    return encoded(picture, kind)


def survives(data: bytes) -> None:
    for encoding in (PixelEncoding.I420, PixelEncoding.JPEG):
        try:
            prepared = prepare(data, Square(), encoding, MAX_PIXELS)
        except BadFrame as fault:
            assert fault.reason.isidentifier()
            assert len(str(fault)) < 500
            continue
        if encoding is PixelEncoding.I420:
            assert len(prepared.pixels) == 224 * 224 * 3 // 2
        assert prepared.info.width * prepared.info.height <= MAX_PIXELS


@FUZZ
@given(
    kind=st.sampled_from(KINDS),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_changed_bytes(kind: str, flips: list[tuple[float, int]]) -> None:
    data = bytearray(sample(kind))
    for place, value in flips:
        data[int(place * len(data))] = value
    survives(bytes(data))


@FUZZ
@given(
    kind=st.sampled_from(KINDS),
    flips=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_changed_headers(kind: str, flips: list[tuple[int, int]]) -> None:
    data = bytearray(sample(kind))
    for place, value in flips:
        data[place % len(data)] = value
    survives(bytes(data))


@FUZZ
@given(
    kind=st.sampled_from(KINDS),
    start=st.floats(0, 1),
    length=st.floats(0, 1),
    middle=st.binary(max_size=40),
)
def test_parts_cut_out_and_put_in(kind: str, start: float, length: float, middle: bytes) -> None:
    data = sample(kind)
    first = int(start * len(data))
    survives(data[:first] + middle + data[first + int(length * len(data)) :])


@FUZZ
@given(data=st.binary(max_size=300), magic=st.sampled_from([b"", *(sample(kind)[:16] for kind in KINDS)]))
@example(data=b"", magic=b"")
@example(data=b"\xff\xd8\xff\xe1\x00\x00", magic=b"")
@example(data=b"", magic=b"\xff\xd8\xff\xda\x00\x02")
@example(data=bytes(40), magic=b"RIFF\x30\0\0\0WEBPVP8X")
def test_bytes_out_of_the_air(data: bytes, magic: bytes) -> None:
    survives(magic + data)
    try:
        probe(magic + data, MAX_PIXELS)
    except BadFrame:
        return
