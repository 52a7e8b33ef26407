"""Decoding inside the worker, for batches whose `encoding` is JPEG: the same preparation as in the stream stage."""

from collections.abc import Callable
from dataclasses import dataclass

from inference.image import prepare
from inference.models.base import InputSpec
from schemas.records import Quality


@dataclass(frozen=True, slots=True)
class Decoded:
    """One row for the model, and what is only known of an image once it is decoded."""

    pixels: bytes
    quality: Quality


DecodeJpeg = Callable[[bytes], Decoded]


def jpeg_decoder(spec: InputSpec, max_pixels: int) -> DecodeJpeg:
    """Its result raises BadFrame for what cannot be decoded."""

    def decode(data: bytes) -> Decoded:
        prepared = prepare(data, spec, spec.encoding, max_pixels)
        return Decoded(prepared.pixels, prepared.quality)

    return decode
