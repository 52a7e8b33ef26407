"""The quality of an image, measured on the small cut that the model sees, so that it costs next to nothing.

Everything is measured on the luma plane of the I420 pixels, in full-range units (0 black, 255 white). The flags are
those that a person would give; `labelling.decide` says what follows from them. The thresholds are for cuts of
224 x 224 pixels; blur can only be compared at one size.
"""

import cv2
import numpy as np
import numpy.typing as npt

from schemas.records import Quality

Plane = npt.NDArray[np.uint8]

DARK_BRIGHTNESS_MAX = 30.0
BRIGHT_BRIGHTNESS_MIN = 225.0
FLAT_CONTRAST_MAX = 8.0
BLURRED_LAPLACIAN_MAX = 60.0
SMALL_SIDE_SHARE = 0.5  # of the model's input: below it, scaling up invents half of the pixels

# A decoder that runs out of data repeats the last row, or fills with middle grey, down to the lower edge.
SMEAR_HEIGHT_SHARE = 0.25
SMEAR_ROW_DIFFERENCE_MAX = 1.0
_SMEAR_LUMA = (96.0, 160.0)
_SMEAR_COLUMN_DEVIATION_MIN = 6.0
_GREY_CHROMA_DEVIATION_MAX = 6.0

_LUMA_GAIN = 255.0 / 219.0

# Every rule above by its name: a label from the cache has the flags that these gave it.
RULES = {name: value for name, value in list(globals().items()) if name.isupper()}


def quality_of_planes(luma: Plane, chroma: Plane, extra_flags: tuple[str, ...] = ()) -> Quality:
    """From the I420 planes of an upright cut (`color.i420_planes`).

    `extra_flags` are known already, such as `small`.
    """
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
    if contrast > FLAT_CONTRAST_MAX and is_smeared(luma, chroma):
        flags.append("grey_smear")
    return Quality(blur, brightness, contrast, tuple(flags))


def _laplacian_variance(luma: Plane) -> float:
    """The mean of a Laplacian is nearly 0, so its variance is its mean square."""
    edges = cv2.Laplacian(luma, cv2.CV_16S)
    return float(cv2.norm(edges, cv2.NORM_L2SQR)) / edges.size * _LUMA_GAIN**2


def is_smeared(luma: Plane, chroma: Plane) -> bool:
    """Whether the lowest quarter or more repeats one row that is grey or striped, and not plain black or white."""
    rows = max(2, round(len(luma) * SMEAR_HEIGHT_SHARE))
    if len(luma) < rows:
        return False
    if float(cv2.norm(luma[-1], luma[-2], cv2.NORM_L1)) > SMEAR_ROW_DIFFERENCE_MAX * luma.shape[1]:
        return False  # nearly every sound image is decided here, from two rows
    lower = luma[-rows:]
    difference = cv2.absdiff(lower[1:], lower[:-1])
    if float(cv2.reduce(difference, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).max()) > SMEAR_ROW_DIFFERENCE_MAX:
        return False
    mean, deviation = cv2.meanStdDev(lower)
    if float(deviation[0, 0]) >= _SMEAR_COLUMN_DEVIATION_MIN:
        return True
    lower_chroma = chroma[:, -(rows // 2) :].astype(np.int16)
    colourless = float(np.abs(lower_chroma - 128).mean()) <= _GREY_CHROMA_DEVIATION_MAX
    return colourless and _SMEAR_LUMA[0] <= float(mean[0, 0]) <= _SMEAR_LUMA[1]
