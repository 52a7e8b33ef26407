"""The commits that Burrow keeps of one partition (linkedin/Burrow 1.9.5, core/internal/storage/inmemory.go). Pure.

What it keeps decides what its rules say, so the rules of keeping are taken over with them.
"""

from collections import deque

from infra.lag.rules.burrow import Commit

INTERVALS = 10


class CommitRing:
    """The last `intervals` commits of a partition, in the order in which they were made."""

    def __init__(self, intervals: int = INTERVALS, min_distance_s: float = 0.0) -> None:
        self.intervals = intervals
        self._min_distance_ms = min_distance_s * 1000
        self._commits: list[Commit] = []

    @property
    def commits(self) -> list[Commit]:
        """Oldest first."""
        return list(self._commits)

    def add(self, offset: int, order: int, timestamp_ms: int, end: int, observed_ms: int = 0) -> None:
        """Keep a commit; `end` is the partition's end offset as it was last seen.

        A commit that was made before the oldest of a full ring, or is known already, is left out. One that arrives
        after a later one is put in its place, without a lag. One that comes within the minimum distance of its
        predecessor takes that one's place and keeps that one's time: else a group that commits often would never
        reach a full ring.
        """
        commits = self._commits
        place = next((at for at in range(len(commits), 0, -1) if commits[at - 1].order <= order), 0)
        is_known = place > 0 and commits[place - 1].order == order
        is_full = len(commits) >= self.intervals
        if is_known or (is_full and commits[0].order >= order):
            return
        lag = max(0, end - offset) if place == len(commits) else None
        # Burrow puts a late commit that follows the oldest of a full ring into that one's place, and compares no times.
        replaces_oldest = is_full and place == 1 and len(commits) > 1
        previous = commits[place - 1] if place and not replaces_oldest else None
        if previous is not None and timestamp_ms - previous.timestamp_ms < self._min_distance_ms:
            commits[place - 1] = Commit(offset, order, previous.timestamp_ms, lag, observed_ms)
            return
        commits.insert(place, Commit(offset, order, timestamp_ms, lag, observed_ms))
        del commits[: max(0, len(commits) - self.intervals)]


class EndRing:
    """The last `intervals` end offsets of a partition, as they were seen."""

    def __init__(self, intervals: int = INTERVALS) -> None:
        self._ends: deque[int] = deque(maxlen=intervals)

    def add(self, end: int) -> None:
        self._ends.append(end)

    @property
    def ends(self) -> list[int]:
        """Oldest first."""
        return list(self._ends)
