"""One call from encoded bytes to model input: what a thread of the decode pool runs."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

from inference.image.color import i420_planes
from inference.image.decode import decode
from inference.image.geometry import centre_cut, upright
from inference.image.info import ImageInfo
from inference.image.probe import probe
from inference.image.quality import SMALL_SIDE_SHARE, quality_of_planes
from schemas.records import PixelEncoding, Quality

HASH_BYTES = 16
# A short side of 15/16 of `resize` is scaled up a little rather than decoded at twice the size: it lets VGA (480) be
# decoded at one half, and top-1 stays where it is (docs/performance.md).
DECODE_SHARE = 15 / 16
NOT_MEASURED = Quality(0.0, 0.0, 0.0, ("not_measured",))


class InputSize(Protocol):
    """What `prepare` needs to know of a model's input."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def resize(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Size:
    """An `InputSize` and nothing else: handed to another process, it does not take all that knows of models along."""

    width: int
    height: int
    resize: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """`pixels` in the encoding that was asked for, `width` x `height` of them; `info` is of the file they came from."""

    pixels: bytes
    width: int
    height: int
    quality: Quality
    info: ImageInfo


def image_hash(data: bytes) -> bytes:
    """The first 128 bits of SHA-256: the key of byte-identical images. Holds no GIL over 2 KB."""
    return hashlib.sha256(data).digest()[:HASH_BYTES]


def prepare(data: bytes, spec: InputSize, encoding: PixelEncoding, max_pixels: int) -> Prepared:
    """Check, decode, cut, scale, turn upright, measure, encode. Raises BadFrame, and nothing else for any bytes.

    With JPEG the bytes pass as they are (of any readable format), only their header checked: whoever decodes them, by
    another `prepare`, finds what is broken in them and measures them.
    """
    if encoding is PixelEncoding.JPEG:
        info = probe(data, max_pixels)
        width, height = info.upright_size
        return Prepared(data, width, height, NOT_MEASURED, info)
    picture = decode(data, max(1, int(spec.resize * DECODE_SHARE)), max_pixels)
    # The cut is turned, not the picture: it is a hundredth of the work.
    info = picture.info
    lying = info.orientation >= 5
    cut_width, cut_height = (spec.height, spec.width) if lying else (spec.width, spec.height)
    rgb = centre_cut(picture.rgb, cut_width, cut_height, spec.resize)
    if info.orientation != 1:
        rgb = upright(rgb, info.orientation)
    planes = i420_planes(rgb)
    quality = quality_of_planes(planes, spec.height, _file_flags(picture.damaged, info, spec))
    pixels = planes if encoding is PixelEncoding.I420 else rgb
    return Prepared(pixels.tobytes(), spec.width, spec.height, quality, info)


def _file_flags(damaged: bool, info: ImageInfo, spec: InputSize) -> tuple[str, ...]:
    small = min(info.width, info.height) < SMALL_SIDE_SHARE * min(spec.width, spec.height)
    return ("damaged",) * damaged + ("small",) * small
