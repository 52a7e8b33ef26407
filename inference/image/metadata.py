"""A file without its text, XMP, ICC profile and other metadata, for one whose metadata keeps Pillow from its picture.

Pillow refuses a whole file for a text of more than 1 MB, a broken checksum of a comment, or a tag that lies beyond the
end of the file. So such a file is read a second time without them. Only tables of parts are walked, and few of them.
"""

from struct import Struct, error, pack, unpack_from
from zlib import crc32

PARTS_MAX = 65_536

_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_EXIF_BYTES_MAX = 65_536
_WEBP_KEPT = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})
_WEBP_EXIF_FLAG = 0x08
_WEBP_METADATA_FLAGS = 0x20 | _WEBP_EXIF_FLAG | 0x04  # ICC, EXIF, XMP
# Size, samples, compression, strips and tiles, palette and transparency, orientation, the tables of JPEG in TIFF.
_TIFF_KEPT = frozenset(
    {*range(254, 260), 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, *range(322, 326)}
    | {332, 334, 338, 339, 347, *range(512, 522), *range(529, 533)}
)


def without_metadata(data: bytes, name: str) -> bytes | None:
    """The same picture; None where nothing can be left out."""
    lean = None
    try:
        if name == "PNG":
            lean = _png(data)
        elif name == "WEBP":
            lean = _webp(data)
        elif name == "TIFF":
            lean = _tiff(data)
    except (error, OverflowError):
        return None
    return lean if lean != data else None


def _png(data: bytes) -> bytes | None:
    pieces, position = [data[:8]], 8
    for _ in range(PARTS_MAX):
        if position + 8 > len(data):
            return b"".join(pieces)
        length, kind = unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind in _PNG_KEPT or (kind == b"eXIf" and _is_sound_exif(data[position:end], length)):
            pieces.append(data[position:end])
        if kind == b"IEND":
            return b"".join(pieces)
        if kind not in _PNG_KEPT and end > len(data):
            end = data.find(b"IDAT", position + 8) - 4  # its length is wrong, so the pixels may follow all the same
            if end < position:
                return b"".join(pieces)
        position = end
    return None


def _is_sound_exif(chunk: bytes, length: int) -> bool:
    """It tells the orientation, so it stays if its checksum is right."""
    return length <= _EXIF_BYTES_MAX and len(chunk) == length + 12 and crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])


def _webp(data: bytes) -> bytes | None:
    pieces, position, exif = [], 12, 0
    for _ in range(PARTS_MAX):
        if position + 8 > len(data):
            break
        kind, length = unpack_from("<4sI", data, position)
        end = position + 8 + length + length % 2
        if kind in _WEBP_KEPT:
            pieces.append(data[position:end])
        elif kind == b"EXIF" and length <= _EXIF_BYTES_MAX and end <= len(data):  # it tells the orientation
            pieces.append(data[position:end])
            exif = _WEBP_EXIF_FLAG
        position = end
    else:
        return None
    if pieces and pieces[0].startswith(b"VP8X") and len(pieces[0]) > 8:
        flags = pieces[0][8] & ~_WEBP_METADATA_FLAGS | exif
        pieces[0] = pieces[0][:8] + bytes([flags]) + pieces[0][9:]
    body = b"".join((b"WEBP", *pieces))
    return b"RIFF" + pack("<I", len(body)) + body


def _tiff(data: bytes) -> bytes:
    """With a directory of the tags that are kept, written behind the file; where tags point to stays where it is."""
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    offset, count, entry = (
        (Struct(order + "Q"), Struct(order + "Q"), Struct(order + "H18s"))
        if big
        else (Struct(order + "I"), Struct(order + "H"), Struct(order + "H10s"))
    )
    (start,) = offset.unpack_from(data, 8 if big else 4)
    (entries,) = count.unpack_from(data, start)
    kept = []
    for number in range(min(entries, PARTS_MAX)):
        position = start + count.size + number * entry.size
        if entry.unpack_from(data, position)[0] in _TIFF_KEPT:
            kept.append(data[position : position + entry.size])
    body = data + bytes(len(data) % 2)
    directory = count.pack(len(kept)) + b"".join(kept) + bytes(offset.size)
    return body[: 8 if big else 4] + offset.pack(len(body)) + body[8 + 8 * big :] + directory
