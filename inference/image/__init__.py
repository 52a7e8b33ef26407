"""From the bytes of an image file to the input of a model: header check, decode, orientation, cut, I420, quality.

May import: schemas, and numpy, cv2, simplejpeg, Pillow. No I/O and no state: many threads may call it at once.
Bytes that cannot be decoded raise BadFrame, and no bytes raise anything else.
"""

from inference.image.info import ImageInfo
from inference.image.prepare import InputSize, Prepared, Size, image_hash, prepare
from inference.image.probe import probe
from inference.image.samples import SampleRange

__all__ = [
    "ImageInfo",
    "InputSize",
    "Prepared",
    "SampleRange",
    "Size",
    "image_hash",
    "prepare",
    "probe",
]
