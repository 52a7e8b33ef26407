"""A JPEG taken apart and put together again without what plays no part in its pixels.

Only for files that the decoder complains about. Cameras leave the end marker away, fill the rest of their buffer with
one byte, and send stray bytes; a decoder reports the first such finding only, and with it hides what comes behind.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack_from

from inference.image.jpeg_header import JpegHeader

EOI = b"\xff\xd9"
# The last bytes of a picture may equal the padding behind it, so this much of the padding is left.
PADDING_KEPT = 8

SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
DRI = 0xDD
_SOS, _DQT, _DHT, _DAC, _APP0, _APP14 = 0xDA, 0xDB, 0xC4, 0xCC, 0xE0, 0xEE
_NEEDED = SOF | {_SOS, _DQT, _DHT, _DAC, DRI}
_NO_LENGTH = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
RESTART = re.compile(rb"\xff+([\xd0-\xd7])")
# In entropy-coded data 0xFF is followed by 0 (a stuffed byte), by a restart marker, or by 0xFF (a fill byte).
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan: the segments in front of it that it needs, down to its own header, and its entropy-coded data.

    `selection` is the payload of its header: which components, coefficients and bits the scan holds.
    """

    head: bytes
    selection: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class JpegParts:
    """`ended`: the end marker is there."""

    scans: tuple[Scan, ...]
    ended: bool

    def without_padding(self) -> "JpegParts":
        """Without any of the equal bytes at the end of the last scan, of which some may belong to its data."""
        *first, last = self.scans
        data = last.data.rstrip(last.data[-1:])
        if len(last.data) - len(data) < 2:
            return self
        return JpegParts((*first, Scan(last.head, last.selection, data)), self.ended)

    def joined(self, filler: bytes = b"") -> bytes:
        """A whole file, with an end marker; `filler` goes behind the data of every scan and restart interval."""
        pieces = [b"\xff\xd8"]
        for scan in self.scans:
            data = RESTART.sub(lambda marker: filler + marker[0], scan.data) if filler else scan.data
            pieces += (scan.head, data, filler)
        return b"".join((*pieces, EOI))

    def holds_everything(self, components: int) -> bool:
        """Whether the scans hold every coefficient of every component down to its last bit."""
        missing: dict[int, set[int]] = {}
        for scan in self.scans:
            count = scan.selection[0] if scan.selection else 0
            if len(scan.selection) < 4 + 2 * count:
                return False
            first, last, bits = scan.selection[1 + 2 * count : 4 + 2 * count]
            for component in scan.selection[1 : 1 + 2 * count : 2]:
                wanted = missing.setdefault(component, set(range(64)))
                if not bits & 0x0F:
                    wanted.difference_update(range(first, last + 1))
        return len(missing) == components and not any(missing.values())


def take_apart(data: bytes, header: JpegHeader) -> JpegParts:
    """Of a file whose header was read. Where one scan holds all components, nothing behind it is looked at."""
    single = not header.progressive and header.scan_components >= header.components
    scans: list[Scan] = []
    head: list[bytes] = []
    for marker, start, end in segments(data):
        if marker in _NEEDED or (marker == _APP14 and data.startswith(b"Adobe", start + 4)):
            head.append(data[start:end])
        elif marker == _APP0 and data.startswith(b"JFIF\0", start + 4) and not scans:
            head.append(_JFIF)  # its version and thumbnail change no pixel, and an unknown version is complained about
        if marker != _SOS:
            continue
        following = _MARKER.search(data, end)
        stop = following.start() if following else len(data)
        ended = following is not None and following[0] == EOI
        last = following is None or single or ended
        scans.append(Scan(b"".join(head), data[start + 4 : end], _entropy_data(data[end:stop], last)))
        head.clear()
        if last:
            return JpegParts(tuple(scans), ended)
    return JpegParts(tuple(scans), ended=False)


def _entropy_data(data: bytes, last: bool) -> bytes:
    """Without the fill bytes at its end, and in the last scan with at most PADDING_KEPT of the equal bytes there."""
    data = data.rstrip(b"\xff")
    if not last:
        return data
    return data[: len(data.rstrip(data[-1:])) + PADDING_KEPT]


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment with a length that is whole; ends at the end marker."""
    position = 2
    while True:
        found = _MARKER.search(data, position)
        if found is None or found[1] == EOI[1:]:
            return
        start, marker = found.start(), found[1][0]
        if marker in _NO_LENGTH:
            position = start + 2
            continue
        if start + 4 > len(data):
            return
        end = start + 2 + unpack_from(">H", data, start + 2)[0]
        if end > len(data) or end < start + 4:
            return
        yield marker, start, end
        position = end
