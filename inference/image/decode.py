"""Bytes to RGB pixels, as few of them as will do.

A camera's JPEG is decoded by libjpeg-turbo (simplejpeg, outside the GIL) at 1/1, 1/2, 1/4 or 1/8 of its size. Only
these: the sizes between have no SIMD code, and 5/8 of a VGA frame takes longer than the whole (docs/performance.md).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg

from inference.image.geometry import upright
from inference.image.info import ImageInfo
from inference.image.other_formats import decode_with_pillow
from inference.image.probe import probe_jpeg, sniff
from schemas.errors import BadFrame

_SCALES = (8, 4, 2)
_EIGHT_BITS = 8


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels as stored (not yet upright), with what is known of the file.

    `damaged`: the decoder complained (stray bytes, a broken block) and went on, so a part of the picture may be wrong.
    """

    rgb: npt.NDArray[np.uint8]
    info: ImageInfo
    damaged: bool = False


def decode_rgb(data: bytes, min_side: int, max_pixels: int) -> npt.NDArray[np.uint8]:
    """Upright RGB, H x W x 3. The short side stays >= `min_side` where the original's is.

    Of an animation the first frame; transparency lies on middle grey; of 16 bits the upper 8; ICC profiles are ignored.
    """
    picture = decode(data, min_side, max_pixels)
    return upright(picture.rgb, picture.info.orientation)


def decode(data: bytes, min_side: int, max_pixels: int) -> Picture:
    """`decode_rgb` before it is turned upright, for callers that turn the small cut instead."""
    name = sniff(data)
    if name == "JPEG":
        return _decode_jpeg(data, min_side, max_pixels)
    return Picture(*decode_with_pillow(data, name, min_side, max_pixels))


def _decode_jpeg(data: bytes, min_side: int, max_pixels: int) -> Picture:
    info, header = probe_jpeg(data, max_pixels)
    damaged = False
    if info.mode != "CMYK" and header.precision == _EIGHT_BITS:
        try:
            return Picture(_scaled(data, info, min_side), info)
        except (ValueError, KeyError) as fault:  # KeyError: a colour space that simplejpeg has no name for
            if str(fault) == "Premature end of JPEG file":
                raise BadFrame("truncated", f"JPEG picture ends early, after {len(data)} bytes") from fault
            damaged = True  # a warning, or a JPEG that simplejpeg refuses: Pillow knows more kinds, and what is fatal
    rgb, _ = decode_with_pillow(data, "JPEG", min_side, max_pixels)
    return Picture(rgb, info, damaged)


def _scaled(data: bytes, info: ImageInfo, min_side: int) -> npt.NDArray[np.uint8]:
    height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    if (width, height) != (info.width, info.height):
        # Two readings of one header: somebody wants a size that was not checked. It costs 3 us to be sure.
        raise BadFrame("decode_failed", f"JPEG is {info.width}x{info.height} or {width}x{height}")
    short = min(width, height)
    scale = next((scale for scale in _SCALES if short >= scale * min_side), 1)
    rgb: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, "RGB", min_height=-(-height // scale), min_width=-(-width // scale)
    )
    return rgb
