"""The size that a file declares, checked before Pillow opens the file: opening alone allocates memory for it."""

from struct import unpack_from

from inference.image.info import check_pixels
from inference.image.netpbm import read_netpbm_header
from schemas.errors import BadFrame

GIF_JUNK_MAX = 4096
_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, 0x3B
_COMMENT, _APPLICATION = 0xFE, 0xFF


def check_declared_size(data: bytes, name: str, max_pixels: int) -> None:
    """BadFrame `too_many_pixels` for a size over the limit, `truncated` for a WebP that ends too early."""
    if name == "WEBP":
        _check_webp(data, max_pixels)
    elif name == "GIF" and len(data) > 13:
        _check_gif(data, max_pixels)
    elif name == "PPM":
        header = read_netpbm_header(data)
        check_pixels(header.width, header.height, max_pixels)
    elif name == "PNG" and data[12:16] == b"IHDR" and len(data) >= 24:
        width, height = unpack_from(">II", data, 16)
        check_pixels(width, height, max_pixels)


def _check_webp(data: bytes, max_pixels: int) -> None:
    whole = int.from_bytes(data[4:8], "little") + 8
    if whole > len(data):
        raise BadFrame("truncated", f"WebP of {whole} bytes ends after {len(data)}")
    if data[12:16] == b"VP8X" and len(data) >= 30:
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        check_pixels(width, height, max_pixels)


def _check_gif(data: bytes, max_pixels: int) -> None:
    """A frame may reach beyond the screen; the image then covers both. Walks to the first frame just as Pillow does."""
    width, height, flags = unpack_from("<HHB", data, 6)
    position = 13 + ((3 << (flags & 7) + 1) if flags & 0x80 else 0)
    junk = 0
    while position + 9 < len(data) and junk < GIF_JUNK_MAX:
        mark = data[position]
        if mark == _TRAILER:
            return
        if mark == _FRAME:
            left, top, frame_width, frame_height = unpack_from("<HHHH", data, position + 1)
            check_pixels(max(1, width, left + frame_width), max(1, height, top + frame_height), max_pixels)
            return
        if mark == _EXTENSION:
            position = _behind_extension(data, position + 1)
        else:
            position, junk = position + 1, junk + 1
    if junk >= GIF_JUNK_MAX:
        raise BadFrame("decode_failed", f"GIF has {GIF_JUNK_MAX} stray bytes before its picture")


def _behind_extension(data: bytes, position: int) -> int:
    label, position = data[position], position + 1
    size, block = _block(data, position)
    position += 1 + size
    if label == _COMMENT and not size:
        return position
    if label == _APPLICATION and block.startswith(b"NETSCAPE2.0"):
        position += 1 + _block(data, position)[0]
    while True:
        size, _ = _block(data, position)
        position += 1 + size
        if not size:
            return position


def _block(data: bytes, position: int) -> tuple[int, bytes]:
    size = data[position] if position < len(data) else 0
    return size, data[position + 1 : position + 1 + min(size, 16)]
