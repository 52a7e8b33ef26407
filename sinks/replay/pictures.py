"""Small pictures of example frames: from the replay lane, or from where they came. Decodes what strangers sent."""

import io
import warnings

from PIL import Image, ImageOps

from infra.kafka.lookup import RecordLookup
from infra.kafka.schema_registry import registry_of
from infra.replay.result import Example
from infra.settings import Settings
from schemas import codec
from schemas.codec import Registry
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame
from schemas.records import Frame

SIZE_PIXELS = 360
QUALITY = 80
MAX_SOURCE_PIXELS = 64_000_000
MAX_PICTURE_BYTES = 128 * 1024
FORMATS = ("JPEG", "PNG", "WEBP")
# What Pillow raises for bytes that are no sound picture.
_BROKEN = (OSError, ValueError, SyntaxError, TypeError, LookupError, ArithmeticError, EOFError, MemoryError)


def pictures_of(settings: Settings, examples: list[Example]) -> list[bytes | None]:
    """A JPEG for each example, at most 128 KiB; None where the frame is gone or is no picture."""
    lookup, registry = RecordLookup(settings), registry_of(settings)
    try:
        return [_picture(lookup, registry, example) for example in examples]
    finally:
        lookup.close()


def _picture(lookup: RecordLookup, registry: Registry | None, example: Example) -> bytes | None:
    for place in (example.lane, example.source):
        frame = None if place is None else _frame(lookup, registry, place)
        if frame is not None and frame.frame_id == example.frame_id:
            return thumbnail(frame.image)
    return None


def _frame(lookup: RecordLookup, registry: Registry | None, place: Coordinates) -> Frame | None:
    record = lookup.fetch(place.topic_partition, [place.offset]).get(place.offset)
    try:
        return None if record is None else codec.decode(Frame, record.value, registry)
    except BadFrame:
        return None


def thumbnail(image: bytes) -> bytes | None:
    """Upright, at most 360 pixels wide and high, without any metadata. None where the bytes are no sound picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, and of sizes, which are checked here
            with Image.open(io.BytesIO(image), formats=FORMATS) as opened:
                if opened.width * opened.height > MAX_SOURCE_PIXELS:
                    return None
                opened.draft("RGB", (SIZE_PIXELS, SIZE_PIXELS))  # JPEG is decoded at a smaller scale
                small = ImageOps.exif_transpose(opened).convert("RGB")
                small.thumbnail((SIZE_PIXELS, SIZE_PIXELS))
                out = io.BytesIO()
                small.save(out, "JPEG", quality=QUALITY)
    except (*_BROKEN, Image.DecompressionBombError):
        return None
    made = out.getvalue()
    return made if len(made) <= MAX_PICTURE_BYTES else None
