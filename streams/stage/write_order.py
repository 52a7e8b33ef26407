"""The order in which frames are written: of each source as they were read, whenever each of them is ready. Pure."""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Place(Generic[T]):
    """The place of one frame among those of its source. `result` counts once the place is settled; None: nothing."""

    __slots__ = ("is_settled", "result", "source")

    def __init__(self, source: Hashable) -> None:
        self.source, self.is_settled = source, False
        self.result: T | None = None


class WriteOrder(Generic[T]):
    """Frames enter in the order in which they were read, and are settled in any order.

    `take` gives what may be written now: of each source the settled frames before the first that is not settled. A
    frame that takes long so holds up its own source alone. The owner limits how many frames are held.
    """

    def __init__(self) -> None:
        self._places: dict[Hashable, deque[Place[T]]] = {}
        self._ready: list[T] = []

    def __len__(self) -> int:
        """How many frames have entered and not passed."""
        return sum(map(len, self._places.values()))

    def enter(self, source: Hashable) -> Place[T]:
        place: Place[T] = Place(source)
        self._places.setdefault(source, deque()).append(place)
        return place

    def settle(self, place: Place[T], result: T | None = None) -> None:
        """The frame is ready to be written as `result`; without one it is left out, because it is written elsewhere."""
        place.is_settled, place.result = True, result
        places = self._places[place.source]
        while places and places[0].is_settled:
            passed = places.popleft()
            if passed.result is not None:
                self._ready.append(passed.result)
        if not places:
            del self._places[place.source]

    def take(self) -> list[T]:
        """Everything that may be written now, and has not been taken before."""
        taken, self._ready = self._ready, []
        return taken
