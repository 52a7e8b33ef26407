"""Acknowledgements strictly in order per partition, and never for a generation that is over. Pure; not thread-safe.

Faust 0.15 commits over a message in flight when acks come out of order (faust-streaming/faust#606), so an ack waits
here until all earlier ones of its partition are done. After a rebalance the frames under way belong to nobody:
whoever owns the partition now reads them again, and an ack of ours could move the offset past what he has not done.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Line = tuple[str, int]


class Ticket(Generic[T]):
    """One item under way."""

    __slots__ = ("done", "generation", "item", "line", "offset")

    def __init__(self, line: Line, offset: int, generation: int, item: T) -> None:
        self.line, self.offset, self.generation, self.item = line, offset, generation, item
        self.done = False


class OrderedAcks(Generic[T]):
    """`ack` is called for items whose predecessors are all done, in order; `generation` tells the present one."""

    def __init__(self, ack: Callable[[T], None], generation: Callable[[], int]) -> None:
        self._ack, self._generation = ack, generation
        self._lines: dict[Line, deque[Ticket[T]]] = {}

    def take(self, topic: str, partition: int, offset: int, generation: int, item: T) -> Ticket[T]:
        """Start one item. An offset that is read again in the same generation simply stands in line again."""
        ticket = Ticket((topic, partition), offset, generation, item)
        line = self._lines.setdefault(ticket.line, deque())
        while line and line[0].generation != generation:
            line.popleft()
        line.append(ticket)
        return ticket

    def done(self, ticket: Ticket[T]) -> None:
        """The item's outcome is on the broker: ack it and what waited for it, as far as the line has no hole."""
        ticket.done = True
        line = self._lines.get(ticket.line)
        while line and (line[0].done or line[0].generation != self._generation()):
            first = line.popleft()
            if first.generation == self._generation():
                self._ack(first.item)

    def forget_old(self) -> None:
        """Drop everything of past generations; call after a rebalance."""
        for line in self._lines.values():
            while line and line[0].generation != self._generation():
                line.popleft()

    def pending(self) -> int:
        """How many items of the present generation are taken and not acked."""
        return sum(ticket.generation == self._generation() for line in self._lines.values() for ticket in line)
