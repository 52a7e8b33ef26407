"""Which records of a range are copied. Pure, and the same for every run: a resumed replay chooses as it did before."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from heapq import heappush, heappushpop

from infra.kafka.spans import Period

_64_BITS = (1 << 64) - 1
# One above the largest hash: below it lies everything.
ALL = 1 << 62


def place_hash(partition: int, offset: int) -> int:
    """Below 2^62, spread evenly: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators)."""
    mixed = ((partition << 44) ^ offset) + 0x9E3779B97F4A7C15 & _64_BITS
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _64_BITS
    return (mixed ^ mixed >> 31) >> 2


@dataclass(frozen=True, slots=True)
class Selection:
    """Records of the period whose key matches the glob, and whose place has a hash below `below`."""

    period: Period
    source_glob: str | None = None
    below: int | None = None

    def takes(self, partition: int, offset: int, timestamp_ms: int, key: bytes | None) -> bool:
        if self.below is not None and place_hash(partition, offset) >= self.below:
            return False
        if not self.period.holds(timestamp_ms):
            return False
        return self.source_glob is None or fnmatchcase((key or b"").decode(errors="replace"), self.source_glob)


class Sampler:
    """The `size` places with the lowest hashes of all that are added: the same whatever their order."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[int] = []  # negative hashes: the greatest hash is on top

    def add(self, partition: int, offset: int) -> None:
        found = -place_hash(partition, offset)
        if len(self._kept) < self._size:
            heappush(self._kept, found)
        else:
            heappushpop(self._kept, found)

    @property
    def below(self) -> int:
        """The bound that takes exactly these; ALL while fewer than wanted were added."""
        return ALL if len(self._kept) < self._size else -self._kept[0] + 1

    def __len__(self) -> int:
        return len(self._kept)
