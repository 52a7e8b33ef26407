"""Draws the images of simulated cameras; `sim` says where the camera looks. Imported in processes of their own only."""

import functools

import cv2
import numpy as np
import numpy.typing as npt

from ingest.sources.sim import MAX_ZOOM, SimSpec, photo_at, photo_path, view_at
from schemas.errors import ConfigError

Pixels = npt.NDArray[np.uint8]


def render(spec: SimSpec, time_s: float) -> Pixels:
    """The camera's image (BGR) at `time_s` seconds after its start."""
    photo = _scaled_photo(photo_at(spec, time_s), spec.width, spec.height)
    view = view_at(time_s, spec.seed)
    height, width = photo.shape[:2]
    crop = min(width / spec.width, height / spec.height) / view.zoom  # photo pixels for one output pixel
    left = (width - crop * spec.width) * view.x
    top = (height - crop * spec.height) * view.y
    to_photo = np.array([[crop, 0, left + (crop - 1) / 2], [0, crop, top + (crop - 1) / 2]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(photo, to_photo, (spec.width, spec.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(image, np.uint8)


@functools.lru_cache(maxsize=2)
def _scaled_photo(name: str, width: int, height: int) -> Pixels:
    """The photo, shrunk to little more than the output needs, so that it does not flicker while the camera moves."""
    path = photo_path(name)
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photo is None:
        raise ConfigError(f"sim:{name}: {path} cannot be read as an image")
    scale = max(width / photo.shape[1], height / photo.shape[0]) * MAX_ZOOM
    if scale < 1:
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(photo, np.uint8)
