"""What the body of an HTTP answer is, by its bytes: names and content types of cameras are often wrong. Pure."""

import re

from ingest.sources.files import MAGIC, OTHER_MAGIC

SOI, EOI = b"\xff\xd8\xff", b"\xff\xd9"
PNG_END = b"IEND\xaeB`\x82"
# How far into a body the first picture may begin: behind a boundary and the header of its part.
MAX_WRAPPING_BYTES = 4096
# FFmpeg names the same file type with other brands for videos.
IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
OTHER_PICTURES = re.compile(rb"P[1-7]\s|\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51|\x00\x00\x00\x0cJXL ")
VIDEOS = (b"\x1aE\xdf\xa3", b"FLV\x01", b"OggS", b"\x00\x00\x01\xba", b"0&\xb2u")
PLAYLISTS = (b"#EXTM3U", b"<MPD", b"<?xml")
_TEXT_BYTES = bytes(range(32, 127)) + b"\t\r\n\f\x1b"


def is_picture(body: bytes) -> bool:
    """Whether the bytes begin as a picture does."""
    head = body[:32]
    if head.startswith((*(magic for magic, _ in MAGIC), *OTHER_MAGIC)) or OTHER_PICTURES.match(head):
        return True
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    return head[4:8] == b"ftyp" and head[8:12] in IMAGE_BRANDS


def is_video(body: bytes) -> bool:
    """Whether the bytes begin as a container of video does, such as MP4, Matroska or AVI."""
    head = body[:32]
    if head.startswith(VIDEOS) or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return True
    if len(body) > 376 and body[0] == body[188] == body[376] == 0x47:  # MPEG transport stream: packets of 188 bytes
        return True
    return head[4:8] in (b"ftyp", b"moov", b"moof", b"mdat", b"styp") and not is_picture(body)


def is_playlist(body: bytes) -> bool:
    """Whether the bytes are a playlist of HLS or DASH, which FFmpeg plays."""
    head = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith(PLAYLISTS[:2]) or (head.startswith(PLAYLISTS[2]) and b"<MPD" in head)


def page_type(body: bytes) -> str:
    """The content type of a body that is text, such as a login page; empty where it is none."""
    head = body[:512].lstrip(b"\xef\xbb\xbf \t\r\n\x00")
    if not head or any(byte not in _TEXT_BYTES and byte < 128 for byte in head):
        return ""
    if len(head.translate(None, _TEXT_BYTES)) * 2 > len(head):  # mostly not ASCII
        return ""
    lower = head.lower()
    if lower.startswith(b"<!doctype html") or b"<html" in lower or b"<body" in lower:
        return "text/html"
    if lower.startswith(b"<"):
        return "text/xml"
    return "application/json" if lower[:1] in (b"{", b"[") else "text/plain"


def has_end(body: bytes | bytearray, new: int) -> bool:
    """Whether the bytes hold a whole picture, by the end that its format marks. `new`: how many came last."""
    tail = bytes(body[-new - len(PNG_END) :])
    if EOI not in tail and PNG_END not in tail and body[:4] != b"RIFF" and body[:2] != b"BM":
        return False
    picture = unwrapped(bytes(body))
    if not picture.startswith((SOI, b"\x89PNG", b"RIFF", b"BM")):
        return False
    return is_picture(picture) and not missing_part(picture)


def is_wrapped(body: bytes) -> bool:
    """Whether a JPEG lies in the body behind a boundary, the header of a part, or blank lines."""
    start = body.find(SOI, 0, MAX_WRAPPING_BYTES)
    wrapping = body[:start].strip()
    return start > 0 and not wrapping.startswith((b"<", b"{", b"[")) and (not wrapping or bool(page_type(wrapping)))


def unwrapped(body: bytes) -> bytes:
    """The first JPEG of a body that wraps one (`is_wrapped`), without what surrounds it; any other body unchanged."""
    if is_picture(body) or not is_wrapped(body):
        return body
    start = body.find(SOI)
    end = jpeg_end(body, start)
    return body[start:end] if end else body[start:]


def jpeg_end(body: bytes, start: int = 0) -> int:
    """Where the JPEG that begins at `start` ends; 0 where its end marker has not come. A thumbnail's end is not it."""
    scan = scan_start(body, start)
    end = body.find(EOI, scan) if scan else -1
    return end + len(EOI) if end >= 0 else 0


def scan_start(body: bytes, start: int = 0) -> int:
    """Where the pixels of the JPEG that begins at `start` begin; 0 where its header is not whole."""
    place = start + 2
    while (place := body.find(b"\xff", place)) >= 0 and place + 4 <= len(body):
        marker = body[place + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # no segment, or one without a length
            place += 1 if marker == 0xFF else 2
            continue
        if marker == EOI[1]:
            return 0
        length = int.from_bytes(body[place + 2 : place + 4], "big")
        place += 2 + length
        if marker == 0xDA:
            return place if place < len(body) else 0
    return 0


def missing_part(body: bytes) -> str:
    """What a picture lacks, by its framing: `end`, `rows` or nothing.

    `end`: a JPEG without an end marker, whose rows may still all be there; only decoding it tells.
    """
    if body.startswith(SOI):
        if not scan_start(body):
            return "rows"
        return "" if jpeg_end(body) else "end"
    if body.startswith(b"\x89PNG"):
        return "" if PNG_END in body[-4096:] or PNG_END in body else "rows"
    if body[:4] == b"RIFF":
        return "" if len(body) >= int.from_bytes(body[4:8], "little") + 8 else "rows"
    if body.startswith(b"BM") and len(body) >= 6:
        return "" if len(body) >= int.from_bytes(body[2:6], "little") else "rows"
    return ""
