"""RGB to I420: the format with 1.5 bytes a pixel that is sent to the model.

Layout of W x H pixels (both even), 8 bit: the Y plane, H rows of W bytes; the U plane, H/2 rows of W/2; V likewise.
BT.601, limited range, as cv2.COLOR_RGB2YUV_I420 computes it (R, G, B in 0..255):

    Y = 16  + 0.256999969 R + 0.50399971  G + 0.09799957  B        16..235
    U = 128 - 0.148000002 R - 0.290999770 G + 0.438999176 B        16..240
    V = 128 + 0.438999176 R - 0.367999077 G - 0.070999146 B        16..240

U and V are those of the upper left pixel of each 2 x 2 block, not their mean (the mean does not improve top-1).
The inverse (cv2.COLOR_YUV2RGB_I420) gives all four pixels of a block the same U and V:

    R = 1.163999557 (Y - 16) + 1.595999718 (V - 128)
    G = 1.163999557 (Y - 16) - 0.812999725 (V - 128) - 0.390999794 (U - 128)
    B = 1.163999557 (Y - 16) + 2.017999649 (U - 128)               each clipped to 0..255
"""

import cv2
import numpy as np
import numpy.typing as npt


def i420_planes(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8 [H * 3 / 2, W]: the Y plane in the first H rows, U and V packed below it."""
    height, width = rgb.shape[:2]
    if height % 2 or width % 2:
        raise ValueError(f"I420 needs even sides, not {width}x{height}")
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)
