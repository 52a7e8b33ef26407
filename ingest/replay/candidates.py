"""Which offsets can be of a small sample, without reading them: their hashes tell. The rest need not be fetched."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from infra.kafka.spans import Span
from ingest.replay.selection import ALL

# From one frame in so many on, each is fetched by itself; below that, reading on is cheaper than jumping.
SPARSE = 16
# Hashes that are computed at once: 8 MB.
CHUNK = 1_000_000


def is_sparse(below: int) -> bool:
    """Whether so few places have a hash below it that they are fetched one by one."""
    return below < ALL // SPARSE


def candidates(spans: Iterable[Span], below: int) -> Iterator[Span]:
    """The parts of the ranges whose places have a hash below `below`; neighbours are one part."""
    for span in spans:
        for start in range(span.start, span.end, CHUNK):
            end = min(start + CHUNK, span.end)
            offsets = np.flatnonzero(place_hashes(span.partition, start, end) < below) + start
            breaks = np.flatnonzero(np.diff(offsets) > 1) + 1
            for run in np.split(offsets, breaks):
                if len(run):
                    yield Span(span.topic, span.partition, int(run[0]), int(run[-1]) + 1)


def place_hashes(partition: int, start: int, end: int) -> npt.NDArray[np.uint64]:
    """`ingest.replay.selection.place_hash` of the offsets from `start` to `end`."""
    mixed = np.arange(start, end, dtype=np.uint64) ^ np.uint64(partition << 44)
    mixed = mixed + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ mixed >> np.uint64(31)) >> np.uint64(2)
