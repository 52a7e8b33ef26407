"""Decoding in the worker, for batches whose `encoding` is JPEG: the same preparation as in the stream stage."""

from collections.abc import Callable
from dataclasses import dataclass

from inference.image import SampleRange, prepare
from inference.models.base import InputSpec
from infra.settings import StreamSettings
from schemas.records import Quality


@dataclass(frozen=True, slots=True)
class DecodedRow:
    """One row for the model, and the quality of the image, which is not known before it is decoded."""

    pixels: bytes
    quality: Quality


DecodeJpeg = Callable[[bytes], DecodedRow]


def jpeg_decoder(spec: InputSpec, stream: StreamSettings) -> DecodeJpeg:
    """A function that raises BadFrame for an image that cannot be decoded."""
    sample_range = SampleRange.parse(stream.sample_range)

    def decode(data: bytes) -> DecodedRow:
        prepared = prepare(data, spec, spec.encoding, stream.max_image_pixels, sample_range)
        return DecodedRow(prepared.pixels, prepared.quality)

    return decode
