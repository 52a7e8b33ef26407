"""PBM, PGM and PPM: the header, and samples whose white is not 255.

Pillow reads headers byte by byte, however long their comments are, and such samples one by one, all in Python: 1.6 s
for a VGA image of 16 bits.
"""

import re
from dataclasses import dataclass

import numpy as np

from inference.image.info import check_pixels
from inference.image.samples import WHITE_MAX, SampleRange, eight_bits, looked_up
from schemas.errors import BadFrame

# Including comments. The headers that ImageMagick, netpbm and OpenCV write have less than 100 bytes.
HEADER_BYTES_MAX = 4096
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_NUMBER = rb"(\d{1,10})"
_BITMAP = re.compile(rb"(P4)" + (_GAP + _NUMBER) * 2 + rb"\s")
_PIXMAP = re.compile(rb"(P5|P6)" + (_GAP + _NUMBER) * 3 + rb"\s")


@dataclass(frozen=True, slots=True)
class NetpbmHeader:
    """`white` is the largest sample (1 for a bitmap); the samples begin at the byte `start`."""

    kind: bytes
    width: int
    height: int
    white: int
    start: int


def read_netpbm_header(data: bytes) -> NetpbmHeader:
    """BadFrame `decode_failed` where the first 4 KiB hold no complete header."""
    head = data[:HEADER_BYTES_MAX]
    match = _BITMAP.match(head) or _PIXMAP.match(head)
    if match is None:
        raise BadFrame("decode_failed", f"PPM has no header in its first {HEADER_BYTES_MAX} bytes")
    kind, (width, height, *white) = match[1], map(int, match.groups()[1:])
    header = NetpbmHeader(kind, width, height, white[0] if white else 1, match.end())
    if not 1 <= header.white <= WHITE_MAX:
        raise BadFrame("decode_failed", f"PPM says that white is {header.white}, which is from 1 to {WHITE_MAX}")
    return header


def with_white_255(data: bytes, max_pixels: int, wanted: SampleRange) -> bytes:
    """The same image with samples of 0 to 255, which Pillow reads fast. BadFrame `truncated` if some are missing."""
    header = read_netpbm_header(data)
    if header.kind == b"P4" or header.white == 255:
        return data
    check_pixels(header.width, header.height, max_pixels)
    channels = 3 if header.kind == b"P6" else 1
    samples = header.width * header.height * channels
    wide = header.white > 255
    if len(data) < header.start + samples * (2 if wide else 1):
        raise BadFrame("truncated", f"PPM of {header.width}x{header.height} pixels ends after {len(data)} bytes")
    values = np.frombuffer(data, ">u2" if wide else np.uint8, samples, header.start)
    if wide:
        scaled = eight_bits(values.reshape(header.height, header.width, channels), header.white, wanted)
    else:
        table = np.minimum(np.arange(256) * 255.0 / header.white + 0.5, 255).astype(np.uint8)
        scaled = looked_up(values, table)
    return b"%b %d %d 255\n%b" % (header.kind, header.width, header.height, scaled.tobytes())
