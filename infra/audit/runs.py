"""Runs of neighbouring offsets. Pure."""

import numpy as np
from numpy.typing import NDArray

# Offsets to look up that are nearer to each other than this are read as one range: a fetch returns so many anyway.
MERGE_OFFSETS = 32


def edges(wanted: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first index and the length of each run of True."""
    found = np.flatnonzero(np.diff(wanted, prepend=False, append=False))
    return found[0::2], found[1::2] - found[0::2]


def runs_of(wanted: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The runs of True as (first, end), `end` excluded. Runs nearer to each other than MERGE_OFFSETS become one."""
    indexes = np.flatnonzero(wanted)
    if not len(indexes):
        return []
    cuts = np.flatnonzero(np.diff(indexes) > MERGE_OFFSETS)
    firsts = [int(indexes[0]), *(int(indexes[cut + 1]) for cut in cuts)]
    lasts = [*(int(indexes[cut]) for cut in cuts), int(indexes[-1])]
    return [(first, last + 1) for first, last in zip(firsts, lasts, strict=True)]
