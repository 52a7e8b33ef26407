"""From the bytes of a file to RGB pixels, no more of them than needed.

A camera's JPEG is decoded by libjpeg-turbo (simplejpeg, outside the GIL) at 1/1, 1/2, 1/4 or 1/8 of its size. Only
these scales have SIMD code: 5/8 of a VGA frame takes longer than the whole frame (docs/performance.md).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.image.info import ImageInfo
from inference.image.jpeg_pixels import scaled_pixels
from inference.image.jpeg_rows import whole_picture
from inference.image.other_formats import decode_with_pillow
from inference.image.probe import probe_jpeg, sniff
from inference.image.samples import AUTO, SampleRange
from schemas.errors import BadFrame

_EIGHT_BITS = 8
_ENDS_EARLY = "Premature end of JPEG file"


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """The pixels as stored, not turned upright yet, and the facts about the file.

    `damaged`: rows are missing, or the decoder reported a broken block and went on, so a part may look wrong.
    """

    rgb: npt.NDArray[np.uint8]
    info: ImageInfo
    damaged: bool = False


def decode(data: bytes, min_side: int, max_pixels: int, sample_range: SampleRange = AUTO) -> DecodedImage:
    """RGB pixels, H x W x 3. The short side stays >= `min_side` if the original's is. Raises BadFrame.

    An animation gives its first frame, transparency becomes middle grey, `sample_range` says what samples of more than
    8 bits become, and ICC profiles are ignored. The caller turns the result upright: the small cut costs a hundredth of
    the whole image.
    """
    name = sniff(data)
    if name == "JPEG":
        return _decode_jpeg(data, min_side, max_pixels)
    return DecodedImage(*decode_with_pillow(data, name, min_side, max_pixels, sample_range))


def _decode_jpeg(data: bytes, min_side: int, max_pixels: int) -> DecodedImage:
    info, header = probe_jpeg(data, max_pixels)
    warning = ""
    if info.mode != "CMYK" and header.precision == _EIGHT_BITS:
        try:
            return DecodedImage(scaled_pixels(data, info, min_side), info)
        except (ValueError, KeyError) as fault:  # KeyError: a colour space that simplejpeg has no name for
            warning = str(fault)
    rgb = whole_picture(data, info, header, min_side, max_pixels)
    if rgb is not None:
        return DecodedImage(rgb, info)
    if warning == _ENDS_EARLY:
        raise BadFrame("truncated", f"JPEG picture ends early, after {len(data)} bytes")
    rgb, _ = decode_with_pillow(data, "JPEG", min_side, max_pixels)
    return DecodedImage(rgb, info, damaged=True)
