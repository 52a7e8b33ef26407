"""Every format but plain JPEG, decoded with Pillow, one allowed format at a time.

On broken input Pillow raises many kinds of exceptions (SyntaxError, struct.error, KeyError, RecursionError,
MemoryError ...). `_pillow_faults` turns all of them into BadFrame: the input comes from outside, so they are no defect.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import (  # the plugins are named so that Pillow does not search for others
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from inference.image.declared_size import check_declared_size
from inference.image.info import ImageInfo, check_pixels
from inference.image.netpbm import with_white_255
from schemas.errors import BadFrame

PLUGINS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
_ORIENTATION_TAG = 0x0112
_BACKGROUND = (128, 128, 128)
_TRANSPARENT_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})

_TILE_WIDTH, _TILE_LENGTH = 322, 323

# Image.MAX_IMAGE_PIXELS stays as Pillow sets it: a second limit of 179 million pixels behind our own checks. Its
# warning at half of that adds nothing.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Pillow warns of damaged metadata. The outcome of the frame tells what matters, and the warnings would flood the log.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@contextmanager
def _pillow_faults(name: str) -> Iterator[None]:
    try:
        yield
    except BadFrame:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:
        raise BadFrame("too_many_pixels", f"{name}: {fault}") from fault
    except UnidentifiedImageError as fault:
        raise BadFrame("decode_failed", f"{name}: its header cannot be read") from fault
    except Exception as fault:
        text = f"{name}: {type(fault).__name__}: {fault}"[:300]
        short = "truncated" in text.lower() or isinstance(fault, EOFError)
        raise BadFrame("truncated" if short else "decode_failed", text) from fault


def open_checked(data: bytes, name: str, max_pixels: int) -> ImageFile.ImageFile:
    """The opened file: its header is read and its size checked, nothing is decoded."""
    check_declared_size(data, name, max_pixels)
    with _pillow_faults(name):
        try:
            image = Image.open(io.BytesIO(data), formats=[name])
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:
            raise BadFrame("too_many_pixels", f"the limit is {max_pixels / 1e6:g} million. {name}: {fault}") from fault
        check_pixels(image.width, image.height, max_pixels)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            # A tile may be larger than its image, and is decoded as a whole.
            check_pixels(image.tag_v2.get(_TILE_WIDTH, 1), image.tag_v2.get(_TILE_LENGTH, 1), max_pixels)
        return image


def decode_with_pillow(
    data: bytes, name: str, min_side: int, max_pixels: int
) -> tuple[npt.NDArray[np.uint8], ImageInfo]:
    """RGB pixels of the first frame as stored, reduced by a whole factor that keeps the short side >= min_side."""
    if name == "PPM":
        data = with_white_255(data, max_pixels)
    with open_checked(data, name, max_pixels) as image, _pillow_faults(name):
        mode, size = image.mode, image.size
        factor = max(1, min(image.size) // max(1, min_side))
        if name == "JPEG" and factor > 1:
            image.draft(None, (image.width // factor, image.height // factor))
        image.load()
        size = size if name == "JPEG" else image.size
        # After `load`: Pillow has turned a TIFF by then, and broken metadata must not look like a decode error.
        info = ImageInfo(name, *size, _orientation(image), mode)
        return _to_rgb(image, min_side), info


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - broken EXIF never fails a frame whose pixels are sound
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image.Image, min_side: int) -> npt.NDArray[np.uint8]:
    flat: Image.Image = image
    if image.mode.startswith("I;16"):
        flat = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        flat = Image.fromarray(_eight_bits(np.asarray(image)))
    elif image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
        flat = image.convert("RGBA")
    elif image.mode != "L":
        flat = image.convert("RGB")
    factor = min(flat.size) // max(1, min_side)
    if factor > 1:
        flat = flat.reduce(factor)
    if flat.mode == "RGBA":
        below = Image.new("RGB", flat.size, _BACKGROUND)
        below.paste(flat, mask=flat.getchannel("A"))
        flat = below
    return np.array(flat if flat.mode == "RGB" else flat.convert("RGB"), dtype=np.uint8)


def _eight_bits(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """32-bit and float samples to 8 bits: by the first white (1, 255, 65535) that holds them, else by their range."""
    samples = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(samples.min()), float(samples.max())
    whites = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
    white = next((white for white in whites if low >= 0 and high <= white), None)
    if white is None:
        samples, white = samples - low, max(high - low, 1.0)
    return (samples * (255.0 / white)).round().astype(np.uint8)
