"""The pixels of a JPEG by libjpeg-turbo, at 1/1, 1/2, 1/4 or 1/8 of its size."""

import numpy as np
import numpy.typing as npt
import simplejpeg

from inference.image.info import ImageInfo
from schemas.errors import BadFrame

_SCALES = (8, 4, 2)


def scaled_pixels(data: bytes, info: ImageInfo, min_side: int, strict: bool = True) -> npt.NDArray[np.uint8]:
    """RGB. Raises ValueError or KeyError for a kind that simplejpeg does not read, and, if `strict`, for a warning.

    The text of the ValueError is the first warning of the decoder; more may follow it.
    """
    height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    if (width, height) != (info.width, info.height):
        # Two parsers read two sizes from one header: one of them was not checked against the limit. It costs 3 us.
        raise BadFrame("decode_failed", f"JPEG is {info.width}x{info.height} or {width}x{height}")
    short = min(width, height)
    scale = next((scale for scale in _SCALES if short >= scale * min_side), 1)
    rgb: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, "RGB", min_height=-(-height // scale), min_width=-(-width // scale), strict=strict
    )
    return rgb
