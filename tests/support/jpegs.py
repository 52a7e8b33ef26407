"""JPEGs as cameras send them and no library writes them: rare sampling factors, stray, surplus and missing bytes."""

import re
import struct

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.support.images import encoded

EOI = b"\xff\xd9"
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_END_OF_BLOCK = "1010"
# The standard Huffman codes of the number of bits of a DC difference.
_DC_CODES = ("00", "010", "011", "100", "101", "110", "1110", "11110", "111110")

Factors = tuple[tuple[int, int], ...]
GREY_410: Factors = ((4, 2), (1, 1), (1, 1))
GREY_411: Factors = ((4, 1), (1, 1), (1, 1))
GREY_441: Factors = ((1, 4), (1, 1), (1, 1))
ODD_420: Factors = ((2, 2), (2, 1), (1, 2))


def mosaic(columns: int, rows: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Levels of grey, one for each block of 8 x 8 pixels."""
    return np.random.default_rng(seed).integers(20, 235, (rows, columns)).astype(np.uint8)


def mosaic_jpeg(levels: npt.NDArray[np.uint8], factors: Factors, restart: int = 0) -> bytes:
    """The mosaic with any sampling factors; its sides are whole MCUs. `restart`: MCUs between two restart markers."""
    across, down = factors[0]
    rows, columns = levels.shape
    intervals: list[str] = []
    before = 0
    for number, (top, left) in enumerate(
        (top, left) for top in range(0, rows, down) for left in range(0, columns, across)
    ):
        if not intervals or (restart and number % restart == 0):
            intervals.append("")
            before = 128
        for level in levels[top : top + down, left : left + across].reshape(-1).tolist():
            intervals[-1] += _difference(level - before) + _END_OF_BLOCK
            before = level
        intervals[-1] += (_difference(0) + _END_OF_BLOCK) * sum(x * y for x, y in factors[1:])
    data = b"".join(
        (bytes([0xFF, 0xD0 + (number - 1) % 8]) if number else b"") + _packed(bits)
        for number, bits in enumerate(intervals)
    )
    components = b"".join(bytes([number, x << 4 | y, 0]) for number, (x, y) in enumerate(factors, 1))
    parts = (
        _segment(0xDB, b"\0" + bytes([8]) * 64),
        _segment(0xC0, struct.pack(">BHHB", 8, rows * 8, columns * 8, len(factors)) + components),
        *_huffman_tables(),
        _segment(0xDD, struct.pack(">H", restart)),
        _segment(0xDA, bytes([len(factors)]) + b"".join(bytes([n + 1, 0]) for n in range(len(factors))) + b"\0\x3f\0"),
    )
    return b"\xff\xd8" + b"".join(parts) + data + EOI


def with_stray_bytes(jpeg: bytes, most: int, seed: int = 0) -> bytes:
    """1 to `most` bytes before every restart marker."""
    rng = np.random.default_rng(seed)

    def stray(marker: re.Match[bytes]) -> bytes:
        return rng.integers(0, 255, int(rng.integers(1, most + 1)), np.uint8).tobytes() + marker[0]

    return RESTART.sub(stray, jpeg)


def without_interval(jpeg: bytes, number: int) -> bytes:
    """Lacks the data of one restart interval and the marker before it, as after a lost packet."""
    first, second = [marker.start() for marker in RESTART.finditer(jpeg)][number : number + 2]
    return jpeg[:first] + jpeg[second:]


def short_of(jpeg: bytes, share: float) -> bytes:
    """Without the end marker and this share of the data of its picture, which is more than its header."""
    start = jpeg.rindex(b"\xff\xda")
    return jpeg[: start + round((len(jpeg) - 2 - start) * (1 - share))]


def _difference(value: int) -> str:
    size = abs(value).bit_length()
    return _DC_CODES[size] + (f"{value if value > 0 else value + (1 << size) - 1:0{size}b}" if size else "")


def _packed(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _huffman_tables() -> list[bytes]:
    jpeg = encoded(Image.new("L", (8, 8)))
    tables = []
    for found in re.finditer(rb"\xff\xc4", jpeg):
        (length,) = struct.unpack_from(">H", jpeg, found.end())
        tables.append(jpeg[found.start() : found.end() + length])
    return tables
