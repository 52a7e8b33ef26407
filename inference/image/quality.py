"""How good a picture is, measured on the small one the model sees, so that it costs next to nothing.

All from the luma plane of its I420, in full-range units (0 black, 255 white). The flags say what a person would say;
what to do about them is for others to decide. Thresholds are for 224 x 224 cuts; blur compares only at one size.
"""

import cv2
import numpy as np
import numpy.typing as npt

from inference.image.color import i420_planes
from schemas.records import Quality

DARK_BRIGHTNESS_MAX = 30.0
BRIGHT_BRIGHTNESS_MIN = 225.0
FLAT_CONTRAST_MAX = 8.0
BLURRED_LAPLACIAN_MAX = 60.0
SMALL_SIDE_SHARE = 0.5  # of the model's input: below it half the pixels are invented

# A decoder that lost its data repeats the last row, or fills with middle grey, down to the lower edge.
SMEAR_HEIGHT_SHARE = 0.25
SMEAR_ROW_DIFFERENCE_MAX = 1.0
_SMEAR_LUMA = (96.0, 160.0)
_SMEAR_COLUMN_DEVIATION_MIN = 6.0
_GREY_CHROMA_DEVIATION_MAX = 6.0

_LUMA_GAIN = 255.0 / 219.0


def measure_quality(rgb: npt.NDArray[np.uint8]) -> Quality:
    """Quality of an upright picture with even sides, such as `to_model_input` returns."""
    return quality_of_planes(i420_planes(rgb), rgb.shape[0])


def quality_of_planes(planes: npt.NDArray[np.uint8], height: int, extra_flags: tuple[str, ...] = ()) -> Quality:
    """`measure_quality` from I420 planes; `extra_flags` are those known from elsewhere, such as `small`."""
    luma = planes[:height]
    mean, deviation = cv2.meanStdDev(luma)
    brightness = min(255.0, max(0.0, (float(mean[0, 0]) - 16.0) * _LUMA_GAIN))
    contrast = float(deviation[0, 0]) * _LUMA_GAIN
    blur = _laplacian_variance(luma)
    flags = list(extra_flags)
    if brightness <= DARK_BRIGHTNESS_MAX:
        flags.append("dark")
    elif brightness >= BRIGHT_BRIGHTNESS_MIN:
        flags.append("bright")
    if contrast <= FLAT_CONTRAST_MAX:
        flags.append("flat")
    elif blur <= BLURRED_LAPLACIAN_MAX:
        flags.append("blurred")
    if contrast > FLAT_CONTRAST_MAX and is_smeared(planes, height):
        flags.append("grey_smear")
    return Quality(blur, brightness, contrast, tuple(flags))


def _laplacian_variance(luma: npt.NDArray[np.uint8]) -> float:
    """The mean of a Laplacian is all but 0, so its variance is its mean square."""
    edges = cv2.Laplacian(luma, cv2.CV_16S)
    return float(cv2.norm(edges, cv2.NORM_L2SQR)) / edges.size * _LUMA_GAIN**2


def is_smeared(planes: npt.NDArray[np.uint8], height: int) -> bool:
    """True if the lowest quarter or more repeats one row that is grey or striped, not plain black or white."""
    luma = planes[:height]
    rows = max(2, round(height * SMEAR_HEIGHT_SHARE))
    if float(cv2.norm(luma[-1], luma[-2], cv2.NORM_L1)) > SMEAR_ROW_DIFFERENCE_MAX * luma.shape[1]:
        return False  # nearly every sound picture ends here, after two rows
    lower = luma[-rows:]
    difference = cv2.absdiff(lower[1:], lower[:-1])
    if float(cv2.reduce(difference, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).max()) > SMEAR_ROW_DIFFERENCE_MAX:
        return False
    mean, deviation = cv2.meanStdDev(lower)
    if float(deviation[0, 0]) >= _SMEAR_COLUMN_DEVIATION_MIN:
        return True
    chroma = planes[height:].reshape(2, height // 2, -1)[:, -(rows // 2) :]
    colourless = float(np.abs(chroma.astype(np.int16) - 128).mean()) <= _GREY_CHROMA_DEVIATION_MAX
    return colourless and _SMEAR_LUMA[0] <= float(mean[0, 0]) <= _SMEAR_LUMA[1]
