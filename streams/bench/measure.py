"""Rates, CPU time and memory of measured processes, and the description of the machine."""

import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

WARM_UP_SHARE = 0.2
SAMPLE_S = 0.2


def steady_rate_per_s(events: Sequence[tuple[float, int]]) -> float:
    """Frames a second from (time in s, frames) events; the first fifth of the frames is warm-up and left out.

    Raises ValueError when there are too few events for a rate.
    """
    ordered = sorted(events)
    total = sum(count for _, count in ordered)
    seen, start_s, counted = 0, 0.0, 0
    for when_s, count in ordered:
        if start_s:
            counted += count
        seen += count
        if not start_s and seen >= total * WARM_UP_SHARE:
            start_s = when_s
    if not counted or ordered[-1][0] <= start_s:
        raise ValueError(f"{total} frames in {len(ordered)} events are too few to tell a rate")
    return counted / (ordered[-1][0] - start_s)


def rate_of(work: Callable[[], int]) -> float:
    """Units of work a second of one call of `work`, which returns how many units it did."""
    started_s = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - started_s)


def rates_in_turn(
    repeats: int, ours: Callable[[int], float], bare: Callable[[int], float]
) -> list[tuple[float, float]]:
    """Pairs of rates (ours, bare), measured in turn. Every other pair begins with the bare one: neither gains by it."""
    pairs = []
    for number in range(repeats):
        if number % 2:
            first = bare(number)
            pairs.append((ours(number), first))
        else:
            first = ours(number)
            pairs.append((first, bare(number)))
    return pairs


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Usage:
    cpu_s: float
    rss_max_mib: float


class ProcessMeter:
    """Measures a process with its children during a `with` block: CPU seconds and the largest resident set."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._rss_max = 0

    def __enter__(self) -> "ProcessMeter":
        self._cpu_at_start_s = self._cpu_s()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._cpu_at_end_s = self._cpu_s()
        self._stop.set()
        self._thread.join()

    def usage(self) -> Usage:
        """The usage in the whole block; call it after the block."""
        return Usage(self._cpu_at_end_s - self._cpu_at_start_s, self._rss_max / 2**20)

    def _cpu_s(self) -> float:
        times = self._process.cpu_times()
        own_s = times.user + times.system + times.children_user + times.children_system
        return float(own_s) + sum(_cpu_of_child_s(child) for child in self._process.children())

    def _sample(self) -> None:
        while not self._stop.is_set():
            rss = sum(_rss_of(one) for one in (self._process, *self._process.children()))
            self._rss_max = max(self._rss_max, rss)
            self._stop.wait(SAMPLE_S)


def _cpu_of_child_s(child: psutil.Process) -> float:
    """0 for a child that has ended: its CPU time is in `children_user` and `children_system` of its parent."""
    try:
        times = child.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _rss_of(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Median of ours / bare over (ours, bare) pairs; the two of a pair are measured right after each other."""
    return statistics.median(ours / bare for ours, bare in pairs)


def machine() -> dict[str, object]:
    """The machine that the figures were measured on."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    with Path("/proc/cpuinfo").open() as info:
        for line in info:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
