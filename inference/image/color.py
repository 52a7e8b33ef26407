"""RGB to I420: the format with 1.5 bytes a pixel that is sent to the model.

Layout of W x H pixels, 8 bit: the Y plane, H rows of W bytes; the U plane, (H + 1) // 2 rows of (W + 1) // 2; V
likewise. So with odd sides the last column and row have chroma samples of their own.
BT.601, limited range, as cv2.COLOR_RGB2YUV_I420 computes it (R, G, B in 0..255):

    Y = 16  + 0.256999969 R + 0.50399971  G + 0.09799957  B        16..235
    U = 128 - 0.148000002 R - 0.290999770 G + 0.438999176 B        16..240
    V = 128 + 0.438999176 R - 0.367999077 G - 0.070999146 B        16..240

U and V are those of the upper left pixel of each 2 x 2 block, not their mean (the mean does not improve top-1), so
they do not depend on what stands beyond the edge of an odd side.
The inverse (cv2.COLOR_YUV2RGB_I420) gives all four pixels of a block the same U and V:

    R = 1.163999557 (Y - 16) + 1.595999718 (V - 128)
    G = 1.163999557 (Y - 16) - 0.812999725 (V - 128) - 0.390999794 (U - 128)
    B = 1.163999557 (Y - 16) + 2.017999649 (U - 128)               each clipped to 0..255
"""

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def i420(rgb: Pixels) -> Pixels:
    """From [H, W, 3] to [bytes of the image]."""
    height, width = rgb.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return _even_i420(rgb)
    # OpenCV converts even sides only: the last row and column are repeated, and their luma is left out again.
    even = np.asarray(cv2.copyMakeBorder(rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), dtype=np.uint8)
    luma, chroma = i420_planes(_even_i420(even), even.shape[1], even.shape[0])
    return np.concatenate((luma[:height, :width].reshape(-1), chroma.reshape(-1)))


def i420_planes(pixels: Pixels, width: int, height: int) -> tuple[Pixels, Pixels]:
    """Views of an image in I420: luma [H, W], and chroma [2, (H + 1) // 2, (W + 1) // 2] with U before V."""
    luma, chroma = pixels[: width * height], pixels[width * height :]
    return luma.reshape(height, width), chroma.reshape(2, (height + 1) // 2, (width + 1) // 2)


def _even_i420(rgb: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8).reshape(-1)
