"""From the bytes of an image file to the model's input in one call, for a thread or process that decodes."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

from inference.image.color import i420, i420_planes
from inference.image.decode import decode
from inference.image.geometry import centre_cut, upright
from inference.image.info import ImageInfo
from inference.image.probe import probe
from inference.image.quality import SMALL_SIDE_SHARE, quality_of_planes
from inference.image.samples import AUTO, SampleRange
from schemas.records import PixelEncoding, Quality

HASH_BYTES = 16
# A short side of 15/16 of `resize` is scaled up a little rather than decoded at twice the size. So VGA (480) can be
# decoded at one half, and top-1 does not change (docs/performance.md).
DECODE_SHARE = 15 / 16
# The cut is rounded to whole pixels of what was decoded, which must be small beside it in the smallest input too.
DECODE_SIDE_MIN = 64
NOT_MEASURED = Quality(0.0, 0.0, 0.0, ("not_measured",))


class InputSize(Protocol):
    """The part of a model's input description that `prepare` needs."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def resize(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Size:
    """An `InputSize` that can be sent to another process without the modules of the models."""

    width: int
    height: int
    resize: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """`width` x `height` pixels in the requested encoding; `info` is of the file that they come from."""

    pixels: bytes
    width: int
    height: int
    quality: Quality
    info: ImageInfo


def image_hash(data: bytes) -> bytes:
    """The first 128 bits of SHA-256: the key of byte-identical images. Releases the GIL above 2 KB."""
    return hashlib.sha256(data).digest()[:HASH_BYTES]


def prepare(
    data: bytes, spec: InputSize, encoding: PixelEncoding, max_pixels: int, sample_range: SampleRange = AUTO
) -> Prepared:
    """Check, decode, cut, scale, turn upright, measure, encode. Raises BadFrame; no bytes make it raise anything else.

    With the encoding JPEG the bytes of any readable format pass unchanged, and only their header is checked. The worker
    decodes them by another `prepare`, which finds what is broken and measures the quality.
    """
    if encoding is PixelEncoding.JPEG:
        info = probe(data, max_pixels)
        width, height = info.upright_size
        return Prepared(data, width, height, NOT_MEASURED, info)
    image = decode(data, _decode_side(spec), max_pixels, sample_range)
    # The cut is turned upright instead of the whole image: a hundredth of the work.
    info = image.info
    is_sideways = info.orientation >= 5
    cut_width, cut_height = (spec.height, spec.width) if is_sideways else (spec.width, spec.height)
    rgb = centre_cut(image.rgb, cut_width, cut_height, spec.resize)
    if info.orientation != 1:
        rgb = upright(rgb, info.orientation)
    yuv = i420(rgb)
    planes = i420_planes(yuv, spec.width, spec.height)
    quality = quality_of_planes(*planes, _file_flags(image.damaged, info, spec))
    pixels = yuv if encoding is PixelEncoding.I420 else rgb
    return Prepared(pixels.tobytes(), spec.width, spec.height, quality, info)


def _decode_side(spec: InputSize) -> int:
    """The short side that is enough; an input may be longer than `resize`."""
    return max(DECODE_SIDE_MIN, int(max(spec.resize, spec.width, spec.height) * DECODE_SHARE))


def _file_flags(damaged: bool, info: ImageInfo, spec: InputSize) -> tuple[str, ...]:
    small = min(info.width, info.height) < SMALL_SIDE_SHARE * min(spec.width, spec.height)
    return ("damaged",) * damaged + ("small",) * small
