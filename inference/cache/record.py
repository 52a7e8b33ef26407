"""The cached part of a label as bytes: about 80 of them, with a checksum. Pure."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.records import Prediction, Quality

FORMAT = 1
_HEADER = struct.Struct("<BBB3d")  # format, predictions, bytes of flags; blur, brightness, contrast
_PREDICTION = struct.Struct("<If")  # class index, probability
_CHECKSUM = struct.Struct("<I")
# The largest length that the header's byte can hold, including the commas between the flags.
MAX_FLAGS_BYTES = 255


@dataclass(frozen=True, slots=True)
class CachedLabel:
    """The part of a label that depends on the image alone. The decision is not cached: every hit makes it again."""

    predictions: tuple[Prediction, ...]
    quality: Quality


def joined_flags(quality: Quality) -> bytes:
    return ",".join(quality.flags).encode()


def encode(label: CachedLabel, index_of: dict[str, int]) -> bytes | None:
    """`index_of` is the position of a class_id in the model's classes. None for a label that the format cannot hold."""
    flags, quality = joined_flags(label.quality), label.quality
    try:
        body = b"".join(
            [
                _HEADER.pack(
                    FORMAT, len(label.predictions), len(flags), quality.blur, quality.brightness, quality.contrast
                ),
                *(_PREDICTION.pack(index_of[each.class_id], each.probability) for each in label.predictions),
                flags,
            ]
        )
    except (struct.error, OverflowError):
        return None
    return body + _CHECKSUM.pack(zlib.crc32(body))


def decode(data: bytes, classes: Sequence[tuple[str, str]]) -> CachedLabel | None:
    """None for bytes that `encode` did not write, or that it wrote for a model with other classes."""
    body, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if len(body) < _HEADER.size or checksum != _CHECKSUM.pack(zlib.crc32(body)):
        return None
    written, count, flags_size, blur, brightness, contrast = _HEADER.unpack_from(body)
    flags_start = _HEADER.size + count * _PREDICTION.size
    if written != FORMAT or len(body) != flags_start + flags_size:
        return None
    predictions = []
    for index, probability in _PREDICTION.iter_unpack(body[_HEADER.size : flags_start]):
        if index >= len(classes):
            return None
        class_id, name = classes[index]
        predictions.append(Prediction(class_id, name, probability))
    flags = body[flags_start:].decode(errors="replace")
    return CachedLabel(
        predictions=tuple(predictions),
        quality=Quality(blur, brightness, contrast, tuple(flags.split(",")) if flags else ()),
    )
