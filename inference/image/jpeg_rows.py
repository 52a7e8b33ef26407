"""Whether every row of a JPEG is right, although the decoder complained about the file.

libjpeg warns of much that changes no pixel (no end marker, padding, stray bytes before a restart marker, an unknown
version), it tells only its first warning, and simplejpeg refuses rare sampling factors. So the file is put together
again without what may be missing or surplus, and judged by whether each part holds all the data of its rows.
"""

import re

import numpy as np
import numpy.typing as npt
import simplejpeg

from inference.image.info import ImageInfo
from inference.image.jpeg_header import JpegHeader
from inference.image.jpeg_intervals import interval_pictures, restart_markers_are_right
from inference.image.jpeg_parts import RESTART, JpegParts, take_apart
from inference.image.jpeg_pixels import scaled_pixels
from inference.image.other_formats import decode_with_pillow
from schemas.errors import BadFrame

Pixels = npt.NDArray[np.uint8]

# A broken part of a picture often ends early as well, and leaves more bytes over than cameras send in surplus.
STRAY_BYTES_MAX = 8
# Each restart interval is decoded by itself, which takes about 20 us: more of them than this are not looked at.
INTERVALS_MAX = 4096
_STRAY = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0x[0-9a-f]{2}")
# Entropy-coded data of no meaning: where data is missing the decoder reads it instead, and the pixels change.
_FILLER = np.random.default_rng(20).integers(0, 255, 96, np.uint8).tobytes()


def whole_picture(data: bytes, info: ImageInfo, header: JpegHeader, min_side: int, max_pixels: int) -> Pixels | None:
    """The RGB pixels if every row is right, None if some are missing or broken or it cannot be told."""
    parts = take_apart(data, header)
    if not parts.scans or not (parts.ended or parts.holds_everything(header.components)):
        return None
    if info.mode == "CMYK":
        return _same_with_filler(parts, info, min_side, max_pixels)
    warning = ""
    for whole in dict.fromkeys((parts.without_padding().joined(), parts.joined())):
        try:
            return scaled_pixels(whole, info, min_side)
        except (ValueError, KeyError) as fault:
            warning = str(fault)
    try:
        rgb = scaled_pixels(whole, info, min_side, strict=False)
    except (ValueError, KeyError):
        return _same_with_filler(parts, info, min_side, max_pixels)
    # The decoder adds up what it passed over in silence, and tells the sum at a later marker.
    intervals = 1 + sum(len(RESTART.findall(scan.data)) for scan in parts.scans)
    if not _tells_stray_bytes(warning, STRAY_BYTES_MAX * intervals):
        return None
    if len(parts.scans) > 1:
        return _same_with_filler(parts, info, min_side, max_pixels)
    return rgb if intervals == 1 or _intervals_are_whole(parts, info, intervals) else None


def _tells_stray_bytes(warning: str, most: int) -> bool:
    found = _STRAY.fullmatch(warning)
    return found is not None and int(found[1]) <= most


def _same_with_filler(parts: JpegParts, info: ImageInfo, min_side: int, max_pixels: int) -> Pixels | None:
    """The pixels by Pillow, if no interval is missing and more data behind each would change no pixel."""
    if not restart_markers_are_right(parts, info):
        return None
    try:
        rgb, _ = decode_with_pillow(parts.joined(), "JPEG", min_side, max_pixels)
        filled, _ = decode_with_pillow(parts.joined(_FILLER), "JPEG", min_side, max_pixels)
    except BadFrame:
        return None
    return rgb if np.array_equal(rgb, filled) else None


def _intervals_are_whole(parts: JpegParts, info: ImageInfo, count: int) -> bool:
    """Whether each restart interval of the only scan, decoded by itself, gives no other warning.

    At an eighth of its size, and grey: the data is read whole in any case.
    """
    if count > INTERVALS_MAX or not restart_markers_are_right(parts, info):
        return False
    for picture in interval_pictures(parts, info):
        try:
            simplejpeg.decode_jpeg(picture, "GRAY", min_height=1, min_width=1)
        except ValueError as fault:
            if not _tells_stray_bytes(str(fault), STRAY_BYTES_MAX):
                return False
    return True
