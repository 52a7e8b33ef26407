"""Real photos that come with scikit-image and scikit-learn, as encoded files, and what is on them."""

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inference.image import prepare
from inference.models import InputSpec
from schemas.records import PixelEncoding

SPEC = InputSpec(width=224, height=224, resize=256)
# file -> classes, of which any is a correct answer
PHOTOS = {
    ("skimage", "data/coffee.png"): {"espresso"},
    ("skimage", "data/camera.png"): {"tripod"},
    ("skimage", "data/chelsea.png"): {"Egyptian cat", "tabby", "tiger cat"},
    ("skimage", "data/motorcycle_left.png"): {"moped", "motor scooter"},
    ("skimage", "data/rocket.jpg"): {"missile", "projectile"},
    ("sklearn", "datasets/images/china.jpg"): {"palace", "monastery"},
    ("sklearn", "datasets/images/flower.jpg"): {"daisy"},
}


def path_of(package: str, file: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / file


def prepared(encoding: PixelEncoding = PixelEncoding.I420) -> npt.NDArray[np.uint8]:
    """All of PHOTOS as rows for a model."""
    files = [path_of(*photo).read_bytes() for photo in PHOTOS]
    pixels = b"".join(prepare(data, SPEC, encoding, 50_000_000).pixels for data in files)
    return np.frombuffer(pixels, np.uint8).reshape(len(files), -1)
