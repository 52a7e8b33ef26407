"""How many bytes wait for the workers in the batches topic, and whether that is too much. Pure.

The exact size is known of what this process wrote; the rest (written by others, or before a restart) is counted with
the mean size of what it knows.
"""

from bisect import bisect_left
from collections.abc import Mapping

RESUME_SHARE = 0.75


class Backlog:
    """Bytes between the workers' committed offsets and the end of the topic."""

    def __init__(self, max_bytes: int, mean_bytes: int) -> None:
        self._max_bytes, self._guess_bytes = max_bytes, mean_bytes
        self._written: dict[int, list[tuple[int, int]]] = {}
        self._committed: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._sum_bytes = self._sum_count = 0
        self._paused = False

    def wrote(self, partition: int, offset: int, size: int) -> None:
        """A batch of ours was acknowledged by the broker at that offset."""
        written = self._written.setdefault(partition, [])
        entry = (offset, size)
        if written and written[-1] > entry:
            written.insert(bisect_left(written, entry), entry)
        else:
            written.append(entry)
        self._sum_bytes += size
        self._sum_count += 1
        self._ends[partition] = max(self._ends.get(partition, 0), offset + 1)

    def update(self, committed: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """What the broker says: the workers' next offsets (the topic's first where they have none), and the ends."""
        for partition, end in ends.items():
            self._ends[partition] = max(self._ends.get(partition, 0), end)
        for partition, offset in committed.items():
            self._committed[partition] = offset
            written = self._written.get(partition, [])
            del written[: bisect_left(written, (offset, 0))]

    def bytes(self) -> int:
        """Bytes that no worker has finished."""
        mean = self._sum_bytes // self._sum_count if self._sum_count else self._guess_bytes
        total = 0
        for partition, end in self._ends.items():
            ours = self._written.get(partition, [])
            waiting = max(0, end - self._committed.get(partition, end if not ours else ours[0][0]))
            total += sum(size for _, size in ours) + max(0, waiting - len(ours)) * mean
        return total

    def should_pause(self) -> bool:
        """Above the limit, until it has fallen under three quarters of it."""
        share = self.bytes() / self._max_bytes
        self._paused = share > (RESUME_SHARE if self._paused else 1.0)
        return self._paused
