"""Makes image files in any format and with any damage; the colours of the corners show how an image was turned."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from inference.image.color import i420, i420_planes
from inference.image.decode import decode
from inference.image.geometry import centre_cut, upright
from inference.image.quality import quality_of_planes
from schemas.errors import BadFrame
from schemas.records import Quality

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 30), (30, 30, 220), (240, 240, 240)
MAX_PIXELS = 50_000_000
WHOLE = 10**6  # a short side that no picture has: decode all of it


def decode_rgb(data: bytes, min_side: int, max_pixels: int) -> npt.NDArray[np.uint8]:
    """The whole image, turned upright. `prepare` never makes this: it turns only the small cut."""
    image = decode(data, min_side, max_pixels)
    return upright(image.rgb, image.info.orientation)


def to_model_input(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The cut for a model that takes 224 x 224 pixels, as `prepare` makes it."""
    return centre_cut(rgb, Square.width, Square.height, Square.resize)


def to_i420(rgb: npt.NDArray[np.uint8]) -> bytes:
    return i420(rgb).tobytes()


def measure_quality(rgb: npt.NDArray[np.uint8]) -> Quality:
    return quality_of_planes(*i420_planes(i420(rgb), rgb.shape[1], rgb.shape[0]))


class Square:
    """The model's input."""

    width = 224
    height = 224
    resize = 256


def corners(width: int = 64, height: int = 48) -> npt.NDArray[np.uint8]:
    """Red upper left, green upper right, blue lower left, white lower right: every rotation and mirror changes it."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2], rgb[: height // 2, width // 2 :] = RED, GREEN
    rgb[height // 2 :, : width // 2], rgb[height // 2 :, width // 2 :] = BLUE, WHITE
    return rgb


def corner_colours(rgb: npt.NDArray[np.uint8]) -> list[str]:
    """Names of the four corner colours, row by row."""
    height, width = rgb.shape[:2]
    names = {"red": RED, "green": GREEN, "blue": BLUE, "white": WHITE}
    found = []
    for y, x in ((height // 4, width // 4), (height // 4, width * 3 // 4), (height * 3 // 4, width // 4), (-2, -2)):
        pixel = rgb[y, x].astype(int)
        found.append(min(names, key=lambda name: int(np.abs(pixel - names[name]).sum())))
    return found


def textured(width: int = 320, height: int = 240, seed: int = 0) -> npt.NDArray[np.uint8]:
    """An image like a photo: soft shapes with noise, so that damage to any part of its file changes pixels."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    grainy: npt.NDArray[np.uint8] = np.clip(soft + rng.integers(-12, 13, soft.shape), 0, 255).astype(np.uint8)
    return grainy


def encoded(image: Image.Image | npt.NDArray[np.uint8], kind: str = "JPEG", **options: Any) -> bytes:
    """The file's bytes, written by Pillow."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int, order: str = "<", kind: int = 3, count: int = 1) -> bytes:
    """An EXIF block with one tag."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    return head + struct.pack(order + "IHHHI", 8, 1, 0x0112, kind, count) + value + b"\0\0\0\0"


def with_segment(jpeg: bytes, marker: int, payload: bytes) -> bytes:
    """The JPEG with one more segment right behind its start."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + jpeg[2:]


def with_exif(jpeg: bytes, block: bytes) -> bytes:
    return with_segment(jpeg, 0xE1, b"Exif\0\0" + block)


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its frame header."""
    at = next(at for at in (jpeg.find(b"\xff\xc0"), jpeg.find(b"\xff\xc2")) if at > 0)
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


def bomb_png(side: int) -> bytes:
    """A whole and valid black PNG of 1 bit a pixel: 400 million pixels are 49 kB."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def bomb_gif(side: int, extensions: bytes = b"") -> bytes:
    """A GIF with a screen of 1 x 1 pixel and a frame of side x side."""
    palette = bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x4c\x01\x00;"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + palette + extensions + frame


def bomb_webp(side: int) -> bytes:
    """A small WebP whose extended header claims a canvas of side x side."""
    inner = encoded(textured(16, 16), "WEBP", lossless=True)[12:]
    canvas = struct.pack("<I", 0) + (side - 1).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiled_tiff(tile: int) -> bytes:
    """A grey TIFF of 16 x 16 pixels in one tile of tile x tile, deflated."""
    body = zlib.compress(bytes(256), 9)
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile, 324: 8, 325: len(body)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)


def bomb_bmp(side: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head


def refusal(data: bytes, min_side: int = WHOLE) -> BadFrame:
    """The reason why the image is refused."""
    with pytest.raises(BadFrame) as caught:
        decode_rgb(data, min_side, MAX_PIXELS)
    return caught.value
