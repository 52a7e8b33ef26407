"""Every format but plain JPEG, decoded with Pillow, one allowed format at a time.

On broken input Pillow raises many kinds of exceptions (SyntaxError, struct.error, KeyError, RecursionError,
MemoryError ...). `_pillow_faults` turns all of them into BadFrame: the input comes from outside, so they are no defect.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

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
from inference.image.metadata import without_metadata
from inference.image.netpbm import with_white_255
from inference.image.samples import AUTO, WHITE_MAX, SampleRange, eight_bits, eight_bits_of_wide
from inference.image.sixteen_bits import (
    eight_bit_colours,
    has_sixteen_bit_colours,
    has_sixteen_bit_grey_and_alpha,
    load_grey_and_alpha,
    load_lower_bytes,
)
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
T = TypeVar("T")
Pixels = npt.NDArray[np.uint8]

_ORIENTATION_TAG = 0x0112
_BACKGROUND = (128, 128, 128)
_TRANSPARENT_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})

_TILE_WIDTH, _TILE_LENGTH = 322, 323
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0

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


def _or_without_metadata(read: Callable[[bytes], T], data: bytes, name: str) -> T:
    """What `read` makes of the file, and where that fails, of the file without its metadata."""
    try:
        return read(data)
    except BadFrame as fault:
        lean = None if fault.reason == "too_many_pixels" else without_metadata(data, name)
        if lean is None:
            raise
        try:
            return read(lean)
        except BadFrame:
            raise fault from None


def probe_with_pillow(data: bytes, name: str, max_pixels: int) -> ImageInfo:
    """The facts in the header; the orientation is not among them."""

    def read(data: bytes) -> ImageInfo:
        with open_checked(data, name, max_pixels) as image:
            return ImageInfo(name, image.width, image.height, 1, image.mode)

    return _or_without_metadata(read, data, name)


def decode_with_pillow(
    data: bytes, name: str, min_side: int, max_pixels: int, sample_range: SampleRange = AUTO
) -> tuple[Pixels, ImageInfo]:
    """RGB pixels of the first frame as stored, reduced by a whole factor that keeps the short side >= min_side."""

    def read(data: bytes) -> tuple[Pixels, ImageInfo]:
        return _decode(data, name, min_side, max_pixels, sample_range)

    if name == "PPM":
        data = with_white_255(data, max_pixels, sample_range)
    return _or_without_metadata(read, data, name)


def _decode(
    data: bytes, name: str, min_side: int, max_pixels: int, sample_range: SampleRange
) -> tuple[Pixels, ImageInfo]:
    with open_checked(data, name, max_pixels) as image, _pillow_faults(name):
        mode, size = image.mode, image.size
        factor = max(1, min(image.size) // max(1, min_side))
        if name == "JPEG" and factor > 1:
            image.draft(None, (image.width // factor, image.height // factor))
        if has_sixteen_bit_grey_and_alpha(image):
            flat = load_grey_and_alpha(image, sample_range)
        elif has_sixteen_bit_colours(image):
            image.load()
            with open_checked(data, name, max_pixels) as lower:
                load_lower_bytes(lower)
                flat = eight_bit_colours(image, lower, sample_range)
        else:
            image.load()
            flat = _flat(image, sample_range)
        size = size if name == "JPEG" else image.size
        # After `load`: Pillow has turned a TIFF by then, and broken metadata must not look like a decode error.
        info = ImageInfo(name, *size, _orientation(image), mode)
        return _to_rgb(flat, min_side), info


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - broken EXIF never fails a frame whose pixels are sound
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _flat(image: Image.Image, sample_range: SampleRange) -> Image.Image:
    """In one of the modes L, RGB and RGBA."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        samples = np.asarray(image)
        is_wide = image.mode in ("I", "F")
        grey = eight_bits_of_wide(samples, sample_range) if is_wide else eight_bits(samples, WHITE_MAX, sample_range)
        return Image.fromarray(255 - grey if _is_negative(image) else grey)
    if image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
        return image.convert("RGBA")
    return image if image.mode == "L" else image.convert("RGB")


def _is_negative(image: Image.Image) -> bool:
    """Whether a TIFF says that 0 is white. Pillow turns samples of up to 8 bits itself, and leaves wider ones."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _to_rgb(flat: Image.Image, min_side: int) -> Pixels:
    factor = min(flat.size) // max(1, min_side)
    if factor > 1:
        flat = flat.reduce(factor)
    if flat.mode == "RGBA":
        below = Image.new("RGB", flat.size, _BACKGROUND)
        below.paste(flat, mask=flat.getchannel("A"))
        flat = below
    return np.array(flat if flat.mode == "RGB" else flat.convert("RGB"), dtype=np.uint8)
