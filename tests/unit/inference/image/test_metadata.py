"""Text, XMP, ICC profiles and tags, large or broken, never cost the picture."""

import io
import struct
import time
import zlib
from typing import Literal

import numpy as np
import pytest
import tifffile
from PIL import Image

from inference.image import probe
from inference.image.decode import decode
from inference.image.metadata import PARTS_MAX, without_metadata
from tests.support.images import MAX_PIXELS, WHOLE, encoded, exif, refusal, textured

PICTURE = textured(64, 48)
PNG = encoded(PICTURE, "PNG")
LARGE = b"A" * 3_000_000


def chunk(kind: bytes, body: bytes, checksum: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(kind + body) if checksum is None else checksum)
    )


PNG_CHUNKS = {
    "large compressed text": chunk(b"zTXt", b"k\0\0" + zlib.compress(LARGE)),
    "large international text": chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(LARGE)),
    "large XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + LARGE),
    "large text": chunk(b"tEXt", b"k\0" + LARGE),
    "many texts": chunk(b"zTXt", b"k\0\0" + zlib.compress(b"A" * 900_000)) * 90,
    "large ICC": chunk(b"iCCP", b"x\0\0" + zlib.compress(LARGE)),
    "broken ICC": chunk(b"iCCP", b"x\0\0garbage"),
    "ICC of an unknown method": chunk(b"iCCP", b"x\0\7garbage"),
    "broken text": chunk(b"zTXt", b"k\0\0garbage"),
    "wrong checksum": chunk(b"tEXt", b"k\0text", 5),
    "wrong length": struct.pack(">I", 2**31 - 1) + b"tEXtk\0text",
    "impossible name": chunk(b"\xff\xfe\x01\x02", b"text"),
    "short pHYs": chunk(b"pHYs", b"x"),
    "short gAMA": chunk(b"gAMA", b""),
    "short cHRM": chunk(b"cHRM", b"abc"),
    "short sRGB": chunk(b"sRGB", b""),
    "broken animation": chunk(b"acTL", b"\0"),
}


@pytest.mark.parametrize("name", PNG_CHUNKS)
def test_a_chunk_of_a_png_never_costs_the_picture(name: str) -> None:
    before, after = PNG[:33] + PNG_CHUNKS[name] + PNG[33:], PNG[:-12] + PNG_CHUNKS[name] + PNG[-12:]
    for data in (before, after):
        assert np.array_equal(decode(data, WHOLE, MAX_PIXELS).rgb, PICTURE)
        assert probe(data, MAX_PIXELS).format == "PNG"


def test_the_orientation_of_such_a_png_stays() -> None:
    data = PNG[:33] + chunk(b"eXIf", exif(6)) + PNG_CHUNKS["large ICC"] + PNG[33:]
    assert decode(data, WHOLE, MAX_PIXELS).info.orientation == 6


def test_half_a_png_with_a_large_text_is_still_truncated() -> None:
    data = PNG[:33] + PNG_CHUNKS["large XMP"] + PNG[33 : len(PNG) // 2]
    assert refusal(data).reason == "truncated"


def test_a_flood_of_chunks_ends_at_a_bound() -> None:
    flood = PNG[:33] + chunk(b"tEXt", b"k\0x", 5) * (PARTS_MAX + 1) + PNG[33:]
    start = time.thread_time()
    assert refusal(flood).reason == "decode_failed"
    assert time.thread_time() - start < 0.5


def test_the_limit_of_pixels_holds_behind_metadata() -> None:
    huge = PNG[:16] + struct.pack(">II", 60_000, 60_000) + PNG[24:]
    assert refusal(huge[:33] + PNG_CHUNKS["large ICC"] + huge[33:]).reason == "too_many_pixels"


def webp() -> bytes:
    options = {"exif": b"Exif\0\0" + exif(6), "icc_profile": b"i" * 2000, "xmp": b"x" * 3000}
    return encoded(PICTURE, "WEBP", lossless=True, **options)


@pytest.mark.parametrize("damage", ["cut off", "cut off and its size mended", "length", "ICC"])
def test_a_chunk_of_a_webp_never_costs_the_picture(damage: str) -> None:
    data = webp()
    if damage == "cut off":
        data = data[:-1500]
    elif damage == "cut off and its size mended":
        data = data[:4] + struct.pack("<I", len(data) - 1508) + data[8:-1500]
    elif damage == "length":
        at = data.index(b"XMP ")
        data = data[: at + 4] + struct.pack("<I", 2**31) + data[at + 8 :]
    else:
        at = data.index(b"ICCP")
        data = data[: at + 8] + b"\xff" * 2000 + data[at + 2008 :]
    image = decode(data, WHOLE, MAX_PIXELS)
    assert image.info.orientation == 6
    assert np.array_equal(image.rgb, PICTURE)
    assert probe(data, MAX_PIXELS).format == "WEBP"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("broken", ["offset", "count"])
def test_a_tag_of_a_tiff_never_costs_the_picture(
    order: Literal["<", ">"], compression: str | None, broken: str
) -> None:
    buffer = io.BytesIO()
    tags = [(700, 1, 500, b"x" * 500, True), (34675, 7, 500, b"i" * 500, True)]
    tifffile.imwrite(
        buffer,
        PICTURE,
        photometric="rgb",
        byteorder=order,
        compression=compression,
        description="hello " * 50,
        extratags=tags,
    )
    data = bytearray(buffer.getvalue())
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from(order + "H", data, entry)[0] in (270, 700, 34675):
            place, value = (entry + 8, 2**31 - 5) if broken == "offset" else (entry + 4, 2**30)
            struct.pack_into(order + "I", data, place, value)
    assert np.array_equal(decode(bytes(data), WHOLE, MAX_PIXELS).rgb, PICTURE)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_any_cut_of_a_file_is_taken(kind: str) -> None:
    data = encoded(Image.fromarray(PICTURE), kind)
    for end in range(0, len(data), 37):
        without_metadata(data[:end], kind)
