"""Pictures of 16 bits a sample that Pillow has no mode for: colours, and grey with transparency.

Pillow keeps the upper byte of each sample. A file is loaded twice, once with the name of the other byte order, which
gives the lower bytes, so that no further decoder has to read bytes from outside.
"""

import sys

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, TiffImagePlugin

from inference.image.samples import SAMPLES_FOR_RANGE, WHITE_MAX, SampleRange, eight_bit_table, eight_bits
from schemas.errors import BadFrame

# By the last letter of Pillow's name of the samples: the name by which it takes the lower byte instead of the upper.
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_COLOURS = frozenset({"RGB;16", "RGBX;16", "RGBA;16"})
_GREY_AND_ALPHA = "LA;16B"
_ROWS_AT_ONCE = 256
_BITS, _PLANAR, _PLANES_APART, _SIXTEEN = 258, 284, 2, 16


def has_sixteen_bit_colours(image: ImageFile.ImageFile) -> bool:
    """Of an opened picture that is not loaded yet. BadFrame `unsupported_format` where Pillow would read noise."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_PLANAR) == _PLANES_APART:
        # Compressed planes are read, by their upper bytes; in others Pillow takes each byte for a sample.
        if _SIXTEEN in image.tag_v2.get(_BITS, ()) and image.tile and image.tile[0].codec_name == "raw":
            raise BadFrame("unsupported_format", "TIFF with planes of 16 bits, not compressed")
        return False
    return bool(image.tile) and all(_raw_mode(tile)[:-1] in _COLOURS for tile in image.tile)


def has_sixteen_bit_grey_and_alpha(image: ImageFile.ImageFile) -> bool:
    return bool(image.tile) and all(_raw_mode(tile) == _GREY_AND_ALPHA for tile in image.tile)


def load_lower_bytes(image: ImageFile.ImageFile) -> None:
    image.tile = [_renamed(tile, _raw_mode(tile)[:-1] + _OTHER_BYTE[_raw_mode(tile)[-1]]) for tile in image.tile]
    image.load()


def eight_bit_colours(upper: Image.Image, lower: Image.Image, wanted: SampleRange) -> Image.Image:
    """RGB or RGBA, from two pictures of the same mode with the upper and the lower bytes."""
    step = max(1, round((upper.width * upper.height * 3 / SAMPLES_FOR_RANGE) ** 0.5))
    small = (max(1, upper.width // step), max(1, upper.height // step))
    some = _joined(*(np.asarray(half.resize(small, Image.Resampling.NEAREST)) for half in (upper, lower)))
    table = eight_bit_table(some[..., :3], WHITE_MAX, wanted)
    rgb = np.empty((upper.height, upper.width, len(upper.getbands())), np.uint8)
    for top in range(0, upper.height, _ROWS_AT_ONCE):
        box = (0, top, upper.width, min(top + _ROWS_AT_ONCE, upper.height))
        high, low = np.asarray(upper.crop(box)), np.asarray(lower.crop(box))
        rows = rgb[top : top + _ROWS_AT_ONCE]
        rows[...] = high  # the transparency, where there is one
        rows[..., :3] = table[_joined(high[..., :3], low[..., :3])]
    return Image.fromarray(rgb)


def load_grey_and_alpha(image: ImageFile.ImageFile, wanted: SampleRange) -> Image.Image:
    """Loads its 4 bytes a pixel, two of grey and two of alpha, under the name of another kind of 4 bytes a pixel."""
    image.tile = [_renamed(tile, "RGBA") for tile in image.tile]
    image.load()
    pairs = np.asarray(image)
    grey = eight_bits(_joined(pairs[..., 0], pairs[..., 1]), WHITE_MAX, wanted)
    return Image.fromarray(np.dstack((grey, grey, grey, pairs[..., 2])))


def _joined(upper: npt.NDArray[np.uint8], lower: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    samples = upper.astype(np.uint16)
    samples <<= 8
    samples |= lower
    return samples


def _raw_mode(tile: ImageFile._Tile) -> str:
    name = tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args
    return name if isinstance(name, str) else ""


def _renamed(tile: ImageFile._Tile, raw_mode: str) -> ImageFile._Tile:
    return tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
