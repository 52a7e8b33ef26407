"""What is seen in pixels before they are encoded: smears of a broken stream, and that nothing has changed."""

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

# A decoder without the data of a block leaves it at the middle of the range: Y 128, which is 130 in BGR.
GREY = (124, 134)
SMEARED_SHARE = 8
# A row that a decoder repeats has the values of a scene; a graphic has few.
MIN_SCENE_VALUES = 32
THUMB = (32, 32)
# Of 255: sensor noise and JPEG artefacts change the mean of a thumbnail's pixel by less, a person by more.
SAME_MEAN, SAME_MAX = 1.5, 10.0


def is_smeared(pixels: Pixels) -> bool:
    """Whether the lowest eighth of a picture was not decoded: it is grey, or repeats one row of a scene.

    That is what OpenCV gives for a frame with lost packets, without an error (OpenCV issues 6688 and 28638).
    """
    rows = pixels[-max(2, len(pixels) // SMEARED_SHARE) :]
    low, high = GREY
    if low <= rows[-1].min() and rows[-1].max() <= high and low <= rows.min() and rows.max() <= high:
        return True
    if not np.array_equal(rows[-1], rows[-2]) or not (rows == rows[-1]).all():
        return False
    return len(np.unique(rows[-1])) >= MIN_SCENE_VALUES and not (pixels == rows[-1]).all()


def fitted(pixels: Pixels, max_side: int) -> Pixels:
    """The picture with its longer side at most `max_side`; 0: as it is."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    if not max_side or side <= max_side:
        return pixels
    size = (max(1, round(width * max_side / side)), max(1, round(height * max_side / side)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


class StillScene:
    """Tells which pictures of a scene in which nothing moves need not be sent: one in `every_s` seconds is."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._sent: npt.NDArray[np.float32] | None = None
        self._sent_s = 0.0

    def skips(self, pixels: Pixels | None, data: bytes, now_s: float) -> bool:
        """Whether this picture shows what the last one that was sent showed; `data`: a JPEG, where there are none."""
        if not self._every_s:
            return False
        thumb = _thumb(pixels, data)
        if thumb is not None and self._sent is not None and now_s - self._sent_s < self._every_s:
            change = np.abs(thumb - self._sent)
            if change.mean() < SAME_MEAN and change.max() < SAME_MAX:
                return True
        self._sent, self._sent_s = thumb, now_s
        return False


def _thumb(pixels: Pixels | None, data: bytes) -> npt.NDArray[np.float32] | None:
    if pixels is None:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        if found is None:
            return None
        small = cv2.resize(found, THUMB, interpolation=cv2.INTER_AREA)
    else:
        small = cv2.cvtColor(cv2.resize(pixels, THUMB, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    return np.asarray(small, np.float32)
