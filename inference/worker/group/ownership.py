"""Which partitions are ours, since when, and how far their work is done: what may be committed.

Changed by the poll thread alone; `is_current` may be asked by any thread. An answer of a revoked or rewound generation
is never committed: generations only grow, and work carries the one that it was read in.
"""

from collections.abc import Iterable, Mapping

from inference.device.work import Work
from infra.kafka.offsets import CompletedPrefix
from schemas.coordinates import TopicPartition


class Ownership:
    """Our own book, kept beside the client's: it is asked before every commit."""

    def __init__(self) -> None:
        self._generations: dict[TopicPartition, int] = {}
        self._last_generation = 0
        self._prefix = CompletedPrefix()
        self._committed: dict[TopicPartition, int] = {}
        self._first_read: dict[TopicPartition, int] = {}
        self._open: dict[Work, None] = {}
        self.open_frames = 0

    def assign(self, places: Iterable[TopicPartition]) -> None:
        for place in places:
            self._forget(place)
            self._last_generation += 1
            self._generations[place] = self._last_generation

    def forget(self, places: Iterable[TopicPartition]) -> None:
        """Taken away: nothing that is still under way there counts any more."""
        for place in places:
            self._forget(place)
            self._generations.pop(place, None)

    def rewind(self) -> dict[TopicPartition, int]:
        """Every partition that was read from begins a new generation; returns where each must be read again from."""
        positions = {
            place: self._committed.get(place, first)
            for place, first in self._first_read.items()
            if place in self._generations
        }
        self.assign(positions)
        return positions

    def places(self) -> list[TopicPartition]:
        return list(self._generations)

    def generation(self, place: TopicPartition) -> int | None:
        return self._generations.get(place)

    def is_current(self, work: Work) -> bool:
        return self._generations.get(work.origin.place) == work.origin.generation

    def start(self, work: Work) -> None:
        origin = work.origin
        self._prefix.start(origin.topic, origin.partition, origin.offset)
        self._first_read.setdefault(origin.place, origin.offset)
        self._open[work] = None
        self.open_frames += work.frames

    def done(self, work: Work) -> bool:
        """The outcome of all its frames is settled; False, and nothing happens, when it is no longer ours."""
        if work not in self._open or not self.is_current(work):
            return False
        del self._open[work]
        self.open_frames -= work.frames
        origin = work.origin
        return self._prefix.done(origin.topic, origin.partition, origin.offset)

    def open_work(self, places: Iterable[TopicPartition]) -> list[Work]:
        """What was started there and is not done."""
        wanted = set(places)
        return [work for work in self._open if work.origin.place in wanted]

    def to_commit(self) -> dict[TopicPartition, int]:
        """Next offset to read of every partition of ours where that moved since the last commit."""
        return {
            place: offset
            for place, offset in self._prefix.committable().items()
            if place in self._generations and self._committed.get(place) != offset
        }

    def committed(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """The broker took them; True when that was news."""
        ours = {place: offset for place, offset in offsets.items() if place in self._generations}
        news = {place: offset for place, offset in ours.items() if offset > self._committed.get(place, -1)}
        self._committed.update(news)
        return bool(news)

    @property
    def has_uncommitted(self) -> bool:
        """Work waits: read and not done, or done and not committed."""
        return bool(self._open) or bool(self.to_commit())

    def _forget(self, place: TopicPartition) -> None:
        self._prefix.forget(*place)
        self._committed.pop(place, None)
        self._first_read.pop(place, None)
        for work in self.open_work([place]):
            del self._open[work]
            self.open_frames -= work.frames
