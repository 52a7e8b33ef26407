"""Which sources send the most, in bounded memory whatever the number of sources. Pure."""

from collections.abc import Callable
from typing import Generic, TypeVar

StateT = TypeVar("StateT")
# Sources that are counted for each one that is kept.
COUNTED = 4


class TopSources(Generic[StateT]):
    """Keeps a state for each of the `limit` sources with the most events.

    Counts are those of Space-Saving (Metwally, Agrawal, El Abbadi, ICDT 2005): a source that is not counted takes the
    place and the count of the rarest, so one with a large share is never left out. They are halved at each `rank`, so
    that yesterday's sources give way. A source has its state from its first event while there is room, and later from
    the `rank` on that finds it among the first.
    """

    def __init__(self, limit: int, new_state: Callable[[], StateT], every_s: float) -> None:
        self._limit, self._new_state, self._every_s = limit, new_state, every_s
        self._counts: dict[str, float] = {}
        self._next_rank_s: float | None = None
        self.kept: dict[str, StateT] = {}

    def add(self, source_id: str) -> StateT | None:
        """Counts an event; the state of the source, or None where it is not kept."""
        counts = self._counts
        if source_id in counts:
            counts[source_id] += 1
        elif len(counts) < COUNTED * self._limit:
            counts[source_id] = 1
        elif counts:
            rarest = min(counts, key=counts.__getitem__)
            counts[source_id] = counts.pop(rarest) + 1
        state = self.kept.get(source_id)
        if state is None and len(self.kept) < self._limit:
            state = self.kept[source_id] = self._new_state()
        return state

    def rank(self, now_s: float) -> list[str]:
        """Once in a while: which sources are not kept any more. A quiet one is, until another needs its place."""
        if self._next_rank_s is None:
            self._next_rank_s = now_s + self._every_s
        if now_s < self._next_rank_s:
            return []
        self._next_rank_s = now_s + self._every_s
        by_count = sorted(self._counts, key=self._counts.__getitem__, reverse=True)
        first = list(dict.fromkeys([*by_count, *self.kept]))[: self._limit]
        gone = [source_id for source_id in self.kept if source_id not in first]
        self.kept = {one: self.kept[one] if one in self.kept else self._new_state() for one in first}
        self._counts = {source_id: count / 2 for source_id, count in self._counts.items() if count > 0.5}
        return gone
