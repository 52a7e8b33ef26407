"""How many bytes of the batches topic the workers have not finished, and whether that is too much. Pure.

Sizes are exact for the batches that this process wrote. All others (written by other processes, or before a restart)
are counted with the mean size of those.
"""

import threading
from bisect import bisect_left
from collections.abc import Mapping

RESUME_SHARE = 0.75


class Backlog:
    """Bytes between the committed offsets of the workers and the end of the topic. For any thread."""

    def __init__(self, max_bytes: int, mean_bytes: int) -> None:
        self._max_bytes, self._guess_bytes = max_bytes, mean_bytes
        self._lock = threading.Lock()
        self._written: dict[int, list[tuple[int, int]]] = {}
        self._committed: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._sum_bytes = self._sum_count = 0
        self._paused = False

    def wrote(self, partition: int, offset: int, size: int) -> None:
        """The broker has acknowledged a batch of ours at this offset."""
        entry = (offset, size)
        with self._lock:
            written = self._written.setdefault(partition, [])
            if written and written[-1] > entry:
                written.insert(bisect_left(written, entry), entry)
            else:
                written.append(entry)
            self._sum_bytes += size
            self._sum_count += 1
            self._ends[partition] = max(self._ends.get(partition, 0), offset + 1)

    def update(self, committed: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """What the broker says: the next offsets of the workers (the topic's first where they have none), the ends."""
        with self._lock:
            for partition, end in ends.items():
                self._ends[partition] = max(self._ends.get(partition, 0), end)
            for partition, offset in committed.items():
                self._committed[partition] = offset
                written = self._written.get(partition, [])
                del written[: bisect_left(written, (offset, 0))]

    def bytes(self) -> int:
        """Bytes that no worker has finished."""
        with self._lock:
            mean = self._sum_bytes // self._sum_count if self._sum_count else self._guess_bytes
            total = 0
            for partition, end in self._ends.items():
                ours = self._written.get(partition, [])
                waiting = max(0, end - self._committed.get(partition, end if not ours else ours[0][0]))
                total += sum(size for _, size in ours) + max(0, waiting - len(ours)) * mean
            return total

    def should_pause(self) -> bool:
        """True above the limit, and then until the backlog has fallen to three quarters of it."""
        share = self.bytes() / self._max_bytes
        self._paused = share > (RESUME_SHARE if self._paused else 1.0)
        return self._paused
