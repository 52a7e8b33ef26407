"""What is known of an image before it is decoded, and the limits it is held to."""

from dataclasses import dataclass

from schemas.errors import BadFrame


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Of the picture as stored. `mode` is Pillow's word; `orientation` is the EXIF one, 1 to 8.

    Orientation is known from the header for JPEG only; for other formats it is 1 from `probe` and right from `prepare`.
    """

    format: str
    width: int
    height: int
    orientation: int
    mode: str

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) after orientation."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """BadFrame `too_many_pixels` when a header promises more than `max_pixels`, `decode_failed` for none at all."""
    if width < 1 or height < 1:
        raise BadFrame("decode_failed", f"header says {width}x{height} pixels")
    if width * height > max_pixels:
        raise BadFrame("too_many_pixels", f"{width}x{height} pixels, the limit is {max_pixels / 1e6:g} million")
