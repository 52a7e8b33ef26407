"""Whether a JPEG without an end marker has all of its rows: some cameras never send the marker, others cut pictures.

The stage judges a picture by the same rule (`inference/image/jpeg_rows.py`); a test holds the two together.
"""

import io
import re
from collections.abc import Iterator
from random import Random

import simplejpeg

# Larger ones are not looked at: copies of the pixels are held.
MAX_PIXELS = 50_000_000
EOI = b"\xff\xd9"
_SOS = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# In coded data 0xFF is followed by 0 (a data byte), a restart marker, or 0xFF (a fill byte).
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd8\x01])", re.DOTALL)
# Where data is missing the decoder takes zeros. It is given these instead, and the pixels change. The restart markers
# are for a missing interval: one of the two has the one expected there, or one so far from it that it is passed over.
_FILLERS = tuple(
    Random(seed).randbytes(96).replace(b"\xff", b"\x5a").join((b"", first, second, b""))
    for seed, first, second in ((1, b"\xff\xd0", b"\xff\xd5"), (2, b"\xff\xd4", b"\xff\xd1"))
)


def has_all_rows(jpeg: bytes) -> bool:
    """False as well for a picture that cannot be decoded."""
    if not _has_all_scans(jpeg):
        return False
    try:
        simplejpeg.decode_jpeg(jpeg + EOI, "GRAY", min_height=1, min_width=1)
    except (ValueError, KeyError) as fault:
        # It tells its first warning alone, behind which rows may be missing, and reads no rare sampling factors.
        return "premature end" not in str(fault).lower() and _is_same_with_fillers(jpeg)
    return True


def _has_all_scans(jpeg: bytes) -> bool:
    """Whether the scans hold every coefficient of every component down to its last bit."""
    components = -1
    missing: dict[int, set[int]] = {}
    for marker, payload in _segments(jpeg):
        if marker in _FRAMES and len(payload) > 5:
            components = payload[5]
        elif marker == _SOS:
            count = payload[0] if payload else 0
            if len(payload) < 4 + 2 * count:
                return False
            first, last, bits = payload[1 + 2 * count : 4 + 2 * count]
            for component in payload[1 : 1 + 2 * count : 2]:
                wanted = missing.setdefault(component, set(range(64)))
                if not bits & 0x0F:
                    wanted.difference_update(range(first, last + 1))
    return len(missing) == components and not any(missing.values())


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and payload of each segment that is whole."""
    at = 2
    while found := _MARKER.search(jpeg, at):
        start = found.end()
        end = start + int.from_bytes(jpeg[start : start + 2], "big")
        if end < start + 2 or end > len(jpeg):
            return
        yield found[1][0], jpeg[start + 2 : end]
        at = end


def _is_same_with_fillers(jpeg: bytes) -> bool:
    from PIL import Image  # only here: few pictures need it

    pixels = []
    data = jpeg.rstrip(b"\xff")  # fill bytes: they would make a marker of what follows
    try:
        for more in (b"", *_FILLERS):
            with Image.open(io.BytesIO(data + more + EOI), formats=("JPEG",)) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    return False
                pixels.append(picture.tobytes())
    except Exception:  # noqa: BLE001 - Pillow raises many kinds on broken input
        return False
    return pixels[1:] == pixels[:-1]
