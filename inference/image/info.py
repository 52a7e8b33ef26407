"""The facts about an image file that are known before it is decoded, and the limit on its size."""

from dataclasses import dataclass

from schemas.errors import BadFrame


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Of the image as stored, before orientation. `mode` is Pillow's name for it; `orientation` is EXIF's, 1 to 8.

    Only a JPEG header tells the orientation; for other formats it is 1 in the result of `probe`, and right in that of
    `prepare`.
    """

    format: str
    width: int
    height: int
    orientation: int
    mode: str

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) of the upright image."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """BadFrame `too_many_pixels` for a declared size over `max_pixels`, `decode_failed` for a size without pixels."""
    if width < 1 or height < 1:
        raise BadFrame("decode_failed", f"header says {width}x{height} pixels")
    if width * height > max_pixels:
        raise BadFrame("too_many_pixels", f"{width}x{height} pixels, the limit is {max_pixels / 1e6:g} million")
