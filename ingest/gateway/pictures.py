"""What uploaded bytes are, by themselves and not by their name or type: the format, and the size its header declares.

Pure. Pixels are not looked at: a picture that is damaged behind its header becomes a dead letter of the stream stage.
"""

from struct import unpack_from

from ingest.gateway.problems import Problem
from ingest.sources.files import encoding_of
from schemas.records import Encoding

# Of the formats that the stream stage reads and a frame calls OTHER.
_OTHERS = (
    b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\xff\x4f\xff\x51",
    b"\0\0\0\x0cjP  \r\n\x87\n", b"P4", b"P5", b"P6",
)  # fmt: skip
_AVIF_BRANDS = (b"avif", b"avis")
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NO_LENGTH = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
MAX_SEGMENTS = 4096


def sniff(data: bytes) -> Encoding:
    """The encoding; Problem 415 for what is no picture that the pipeline reads."""
    is_avif = data[4:8] == b"ftyp" and any(brand in data[8:64] for brand in _AVIF_BRANDS)
    encoding = encoding_of(data)
    if encoding is not Encoding.OTHER or data.startswith(_OTHERS) or is_avif:
        return encoding
    shown = "an empty body" if not data else f"{len(data)} bytes that begin with {data[:12]!r}"
    raise Problem(
        415, "not_a_picture", f"{shown}: send a JPEG, PNG, WebP, GIF, BMP, TIFF, JPEG 2000, AVIF or PPM picture"
    )


def check_pixels(data: bytes, encoding: Encoding, max_pixels: int) -> None:
    """Problem 413 where the header declares more pixels. Formats that declare nothing here are checked by the stage."""
    size = declared_size(data, encoding)
    if size is not None and size[0] * size[1] > max_pixels:
        detail = f"the picture declares {size[0]} x {size[1]} pixels, the limit is {max_pixels}"
        raise Problem(413, "too_many_pixels", detail)


def declared_size(data: bytes, encoding: Encoding) -> tuple[int, int] | None:
    """Width and height of a JPEG, PNG, WebP or GIF; None where the header does not tell."""
    if encoding is Encoding.JPEG:
        return _jpeg_size(data)
    if encoding is Encoding.PNG and len(data) >= 24:
        width, height = unpack_from(">II", data, 16)
        return width, height
    if encoding is Encoding.WEBP and data[12:16] == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data.startswith(b"GIF8") and len(data) >= 10:
        width, height = unpack_from("<HH", data, 6)
        return width, height
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    for _ in range(MAX_SEGMENTS):
        at = data.find(b"\xff", at)
        while at >= 0 and data[at + 1 : at + 2] == b"\xff":
            at += 1
        if at < 0 or at + 9 > len(data):
            return None
        marker = data[at + 1]
        if marker in _START_OF_FRAME:
            height, width = unpack_from(">HH", data, at + 5)
            return width, height
        if marker == 0xDA:
            return None
        at += 2 if marker in _NO_LENGTH or not marker else 2 + int.from_bytes(data[at + 2 : at + 4])
    return None
