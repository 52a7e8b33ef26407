"""Whether the confidences of one source are distributed as they were: the population stability index (PSI). Pure.

The usual limits of PSI, 0.1 and 0.25, know nothing of the number of samples: small windows exceed them without any
change, large ones hide one. Without a change PSI is distributed as (1/N + 1/M) times chi-square of B - 1 degrees, for N
and M samples in B bins (B. Yurdakul, J. Naranjo: "Statistical properties of the population stability index", Journal
of Risk Model Validation 14, 2020). That assumes independent samples, and neighbouring frames of a camera are alike:
`ConfidenceWindows` counts one in a while only.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
FINE_BINS = 50
MAX_BINS = 10
# Fewer samples on either side say nothing: ten in a bin on the average.
MIN_SAMPLES = 100
# The present window, and each window of the reference, is kept in so many parts, by which it moves on.
SLOTS = 6


@dataclass(frozen=True, slots=True)
class Drift:
    """`psi` above `critical` is a change, or one of the false alarms of which there are `false_alarm_share`."""

    psi: float
    critical: float


def drift(reference: Counts, present: Counts, false_alarm_share: float) -> Drift | None:
    """Compares two histograms of the same fine bins; None where one of them has too few samples to tell."""
    totals = int(reference.sum()), int(present.sum())
    if min(totals) < MIN_SAMPLES:
        return None
    edges = _edges(reference / totals[0] + present / totals[1])
    bins = len(edges)
    # Half a sample more in each bin: an empty one would make the index infinite.
    before, now = ((np.add.reduceat(each, edges) + 0.5) for each in (reference, present))
    before, now = before / before.sum(), now / now.sum()
    psi = float(((now - before) * np.log(now / before)).sum())
    return Drift(psi, critical_psi(*totals, bins, false_alarm_share))


def critical_psi(reference: int, present: int, bins: int, false_alarm_share: float) -> float:
    """What PSI exceeds without any change as often as `false_alarm_share`, by the numbers of samples and bins."""
    return (1 / reference + 1 / present) * chi_square_quantile(1 - false_alarm_share, max(1, bins - 1))


def chi_square_quantile(probability: float, degrees: int) -> float:
    """By Wilson and Hilferty (1931), within 2 % of the true one from the median on."""
    scale = 2 / (9 * degrees)
    return degrees * (1 - scale + NormalDist().inv_cdf(probability) * math.sqrt(scale)) ** 3


def _edges(shares: npt.NDArray[np.float64]) -> list[int]:
    """Where the bins begin: fine ones are merged until each holds a tenth of both sides together, or more."""
    edges, held, wanted = [0], 0.0, shares.sum() / MAX_BINS
    for index, share in enumerate(shares[:-1]):
        held += share
        if held >= wanted and shares[index + 1 :].sum() >= wanted:
            edges.append(index + 1)
            held = 0.0
    return edges


class ConfidenceWindows:
    """The confidences of one source: those of the present window, and of the reference windows before it.

    It takes the same memory whatever comes. `now_s` never goes back.
    """

    def __init__(self, window_s: float, reference_windows: int, sample_every_s: float) -> None:
        self._slot_s, self._sample_every_s = window_s / SLOTS, sample_every_s
        self._counts = np.zeros((SLOTS * (1 + reference_windows), FINE_BINS), np.uint32)
        self._slots = np.full(len(self._counts), -1, np.int64)
        self._next_sample_s = -math.inf

    def add(self, confidence: float, now_s: float) -> None:
        """Counts it, unless it is no share, or another one was counted a moment ago."""
        if now_s < self._next_sample_s or not 0 <= confidence <= 1:
            return
        self._next_sample_s = now_s + self._sample_every_s
        slot = self._slot(now_s)
        row = slot % len(self._counts)
        if self._slots[row] != slot:
            self._slots[row], self._counts[row] = slot, 0
        self._counts[row, min(FINE_BINS - 1, int(confidence * FINE_BINS))] += 1

    def histograms(self, now_s: float) -> tuple[Counts, Counts]:
        """That of the reference and the present one."""
        age = self._slot(now_s) - self._slots
        known = (self._slots >= 0) & (age < len(self._counts))
        reference, present = known & (age >= SLOTS), known & (age < SLOTS)
        return (
            self._counts[reference].sum(axis=0, dtype=np.int64),
            self._counts[present].sum(axis=0, dtype=np.int64),
        )

    def _slot(self, now_s: float) -> int:
        return int(now_s // self._slot_s)
