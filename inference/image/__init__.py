"""From encoded bytes to what a model takes: header check, decode, orientation, cut, I420, quality.

May import: schemas, and numpy, cv2, simplejpeg, Pillow. No I/O, no state: many threads may call it at once.
What cannot be decoded is a BadFrame, whatever the bytes; nothing else is raised for them.
"""

from inference.image.color import to_i420
from inference.image.decode import decode_rgb
from inference.image.geometry import to_model_input
from inference.image.info import ImageInfo
from inference.image.prepare import InputSize, Prepared, Size, image_hash, prepare
from inference.image.probe import probe
from inference.image.quality import measure_quality

__all__ = [
    "ImageInfo",
    "InputSize",
    "Prepared",
    "Size",
    "decode_rgb",
    "image_hash",
    "measure_quality",
    "prepare",
    "probe",
    "to_i420",
    "to_model_input",
]
