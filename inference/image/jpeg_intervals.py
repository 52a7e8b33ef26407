"""The restart intervals of a JPEG: stretches of its data that are decoded without the data before them."""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import error, pack, unpack_from

from inference.image.info import ImageInfo
from inference.image.jpeg_parts import DRI, EOI, RESTART, SOF, JpegParts, segments

_SIDE_MAX = 65_500
_BLOCK = 8
_FIRST_RESTART = 0xD0


@dataclass(frozen=True, slots=True)
class _Frame:
    """`factors`: the sampling factors of each component, across and down; `size_at`: where the header has the size."""

    factors: dict[int, tuple[int, int]]
    size_at: int

    @property
    def across_max(self) -> int:
        return max(across for across, _ in self.factors.values())

    @property
    def down_max(self) -> int:
        return max(down for _, down in self.factors.values())

    def unit_size(self) -> tuple[int, int]:
        """Of an MCU (minimum coded unit) of all components, in pixels. A single component has MCUs of one block."""
        if len(self.factors) == 1:
            return _BLOCK, _BLOCK
        return _BLOCK * self.across_max, _BLOCK * self.down_max

    def units(self, info: ImageInfo, components: bytes) -> int:
        """How many MCUs a scan of these components has."""
        if len(components) != 1:
            width, height = self.unit_size()
            return -(-info.width // width) * -(-info.height // height)
        across, down = self.factors[components[0]]
        columns, rows = -(-info.width * across // self.across_max), -(-info.height * down // self.down_max)
        return -(-columns // _BLOCK) * -(-rows // _BLOCK)


def restart_markers_are_right(parts: JpegParts, info: ImageInfo) -> bool:
    """Whether every scan has as many as it should, numbered from 0 to 7 in turn."""
    try:
        frame = _read_frame(b"\xff\xd8" + parts.scans[0].head)
        interval = 0
        for scan in parts.scans:
            interval = _read_interval(b"\xff\xd8" + scan.head, interval)
            units = frame.units(info, scan.selection[1 : 1 + 2 * scan.selection[0] : 2])
            wanted = -(-units // interval) - 1 if interval else 0
            numbers = [marker[0] - _FIRST_RESTART for marker in RESTART.findall(scan.data)]
            if numbers != [number % 8 for number in range(wanted)]:
                return False
    except (error, KeyError, ValueError, IndexError, ZeroDivisionError):
        return False  # the header contradicts itself
    return True


def interval_pictures(parts: JpegParts, info: ImageInfo) -> Iterator[bytes]:
    """A JPEG of its own, one row of MCUs, for each interval of the only scan, whose restart markers are right."""
    scan = parts.scans[0]
    head = b"\xff\xd8" + scan.head
    frame, interval = _read_frame(head), _read_interval(head, 0)
    unit_width, unit_height = frame.unit_size()
    left = frame.units(info, scan.selection[1 : 1 + 2 * scan.selection[0] : 2])
    for data in RESTART.split(scan.data)[::2]:
        width = min(interval, left, _SIDE_MAX // unit_width) * unit_width
        size = pack(">HH", unit_height, width)
        yield head[: frame.size_at] + size + head[frame.size_at + 4 :] + data + EOI
        left -= interval


def _read_frame(head: bytes) -> _Frame:
    for marker, start, end in segments(head):
        if marker in SOF:
            first = start + 10
            factors = zip(head[first:end:3], head[first + 1 : end : 3], strict=False)
            return _Frame({component: (factor >> 4, factor & 15) for component, factor in factors}, start + 5)
    return _Frame({}, 0)


def _read_interval(head: bytes, before: int) -> int:
    for marker, start, _ in segments(head):
        if marker == DRI:
            (before,) = unpack_from(">H", head, start + 4)
    return int(before)
