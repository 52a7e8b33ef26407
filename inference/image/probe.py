"""The real format and size of an image file, from its own bytes, checked before a pixel is decoded."""

from inference.image.info import ImageInfo, check_pixels
from inference.image.jpeg_header import JpegHeader, check_scans, read_jpeg_header
from inference.image.other_formats import probe_with_pillow
from schemas.errors import BadFrame

_JPEG_MODES = {1: "L", 3: "RGB", 4: "CMYK"}

# The formats that are read, by magic number. Every other format is refused, even if Pillow can read it: each further
# decoder is one more parser of untrusted bytes.
_MAGIC = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"P4", "PPM"),
    (b"P5", "PPM"),
    (b"P6", "PPM"),
)
# Only to name the format in the error; none of these is opened.
_REFUSED = (
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\0\0\1\0", "ICO"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"\x01\xda", "SGI"),
)
_AVIF_BRANDS = (b"avif", b"avis")


def sniff(data: bytes) -> str:
    """The format by its magic number, not by a file name; BadFrame `empty`, `not_an_image` or `unsupported_format`."""
    if not data:
        raise BadFrame("empty", "0 bytes")
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        brands = data[8 : min(int.from_bytes(data[:4]), 256)]
        if any(brand in brands for brand in _AVIF_BRANDS):
            return "AVIF"
        raise BadFrame("unsupported_format", f"ISO media file of brand {data[8:12]!r}")
    for magic, name in _REFUSED:
        if data.startswith(magic):
            raise BadFrame("unsupported_format", name)
    raise BadFrame("not_an_image", f"{len(data)} bytes, beginning with {data[:16]!r}")


def probe_jpeg(data: bytes, max_pixels: int) -> tuple[ImageInfo, JpegHeader]:
    """`probe` for bytes that `sniff` called JPEG."""
    header = read_jpeg_header(data)
    check_pixels(header.width, header.height, max_pixels)
    check_scans(data, header, max_pixels)
    mode = _JPEG_MODES.get(header.components)
    if mode is None:
        raise BadFrame("decode_failed", f"JPEG with {header.components} components")
    return ImageInfo("JPEG", header.width, header.height, header.orientation, mode), header


def probe(data: bytes, max_pixels: int) -> ImageInfo:
    """Format and size from the header alone: 10 us for a JPEG, and little memory whatever size the header declares.

    It says nothing about the pixels: half a file passes here, and only the decode refuses it.
    """
    name = sniff(data)
    if name == "JPEG":
        return probe_jpeg(data, max_pixels)[0]
    return probe_with_pillow(data, name, max_pixels)
