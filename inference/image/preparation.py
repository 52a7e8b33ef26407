"""Everything that the pixels and the quality of an image depend on beside its bytes, as one digest.

The stream stage sends it with its micro-batches, so that a worker with other settings, or of another version, does not
store a label under a name that its pixels do not have.
"""

from dataclasses import asdict

import cv2
import PIL
import simplejpeg

from inference.image.prepare import InputSize
from inference.image.quality import RULES
from inference.image.samples import SampleRange
from schemas.canonical import digest_of
from schemas.records import PixelEncoding

# Raise it with every change after which `prepare` makes other pixels or another quality of any file: labels of before
# are then not taken from the cache any more. A test holds it to the digests of pictures in the repository.
PIXELS_VERSION = 1


def preparation_id(spec: InputSize, encoding: PixelEncoding, sample_range: SampleRange) -> str:
    """32 hex digits. With the encoding JPEG it is about what the worker does with the bytes."""
    return digest_of(
        {
            "pixels": PIXELS_VERSION,
            "encoding": encoding.value,
            "width": spec.width,
            "height": spec.height,
            "resize": spec.resize,
            "sample_range": asdict(sample_range),
            "quality": RULES,
            # Of the decoders; the test's pictures are few, and a change may show in damaged files only.
            "libraries": {
                "opencv": cv2.__version__,
                "pillow": PIL.__version__,
                "simplejpeg": simplejpeg.__version__,
            },
        }
    )
