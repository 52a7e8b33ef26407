"""What the sender sends: small images that all differ, and ten kinds of poison, each with the reason it must die of."""

import functools
import io
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from schemas.codec import encode
from schemas.records import Encoding, Frame, SourceKind

SIDE = 96


@functools.cache
def _picture(kind: int = 0, side: int = SIDE) -> bytes:
    """A JPEG of coloured blocks: it costs time to decode, and the quality check finds it neither dark nor blurred."""
    blocks = np.random.default_rng(kind).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    pixels = blocks.repeat(side // 8, axis=0).repeat(side // 8, axis=1)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=85)
    return out.getvalue()


def unique_jpeg(words: str, side: int = SIDE) -> bytes:
    """A JPEG with `words` in a comment. The pixels are always equal but the bytes differ, so the exact cache misses."""
    comment = words.encode()
    picture = _picture(side=side)
    return picture[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + picture[2:]


def frame_of(source_id: str, epoch_ms: int, seq: int, captured_at: int, image: bytes, kind: Encoding) -> Frame:
    return Frame(
        frame_id=f"{source_id}/{epoch_ms}/{seq}",
        source_id=source_id,
        source_kind=SourceKind.CAMERA,
        stream_epoch=epoch_ms,
        frame_seq=seq,
        captured_at=captured_at,
        received_at=captured_at,
        encoding=kind,
        image=image,
    )


def truncated_png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()[: len(out.getvalue()) // 2]


def png_bomb() -> bytes:
    """A PNG of a few dozen bytes whose header promises 400 million pixels."""
    import zlib

    header = (20_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b""))
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in chunks:
        parts.append(len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big"))
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Poison:
    """One kind of record that can never be labelled. `make` takes a valid Frame and returns the bytes of the record."""

    name: str
    reason: str
    make: Callable[[Frame], bytes | None]


def _with_image(image: bytes) -> Callable[[Frame], bytes]:
    def make(frame: Frame) -> bytes:
        return encode(
            frame_of(frame.source_id, frame.stream_epoch, frame.frame_seq, frame.captured_at, image, Encoding.JPEG)
        )

    return make


def _half_jpeg(frame: Frame) -> bytes:
    return _with_image(frame.image[: len(frame.image) * 2 // 3])(frame)


def _half_record(frame: Frame) -> bytes:
    data = encode(frame)
    return data[: len(data) // 2]


def _unknown_schema(frame: Frame) -> bytes:
    return b"\xc3\x01" + b"\x5a" * 8 + encode(frame)[10:]


POISON: tuple[Poison, ...] = (
    Poison("no value", "empty", lambda _frame: None),
    Poison("no Avro at all", "not_avro", lambda frame: b"frame " + frame.frame_id.encode()),
    Poison("half a record", "not_avro", _half_record),
    Poison("unknown schema", "schema_unknown", _unknown_schema),
    Poison("no image", "empty", _with_image(b"")),
    Poison("HTML error page", "not_an_image", _with_image(b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>")),
    Poison("half a JPEG", "truncated", _half_jpeg),
    Poison("half a PNG", "truncated", _with_image(truncated_png())),
    Poison("400 megapixels", "too_many_pixels", _with_image(png_bomb())),
    Poison("PDF", "unsupported_format", _with_image(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")),
)


def too_large(side: int) -> Poison:
    """Valid images, which are poison only for a stage whose limit is below side * side pixels."""
    return Poison(
        "too large for this stage",
        "too_many_pixels",
        lambda frame: _with_image(unique_jpeg(frame.frame_id, side))(frame),
    )


def any_poison(rng: random.Random) -> Poison:
    return rng.choice(POISON)
