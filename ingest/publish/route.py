"""A producer's way to Kafka: straight from memory, or by a spool on disk (`spool.spooler`)."""

from collections.abc import Callable
from typing import Protocol

from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import Outbox


class Route(Protocol):
    """For one thread, which calls `work` every `pause_s()`; `frames` is for any."""

    def publish(self, outgoing: OutgoingFrame, give_up: Callable[[], bool]) -> bool:
        """As `Outbox.publish`."""

    def work(self) -> None:
        """Do what is due beside publishing."""

    def pause_s(self, longest_s: float) -> float:
        """How long the caller may wait for a frame before it calls `work` again."""

    def has_room(self) -> bool:
        """Whether a frame of a source that can wait would be taken now."""

    def is_empty(self) -> bool:
        """Whether every frame was handed to Kafka's client."""

    def frames(self, source_id: str) -> int:
        """Frames of a source that are on disk."""


class DirectRoute:
    """Straight from memory: what cannot be sent waits where it is."""

    def __init__(self, outbox: Outbox) -> None:
        self.publish = outbox.publish

    def work(self) -> None:
        pass

    def pause_s(self, longest_s: float) -> float:
        return longest_s

    def has_room(self) -> bool:
        return True

    def is_empty(self) -> bool:
        return True

    def frames(self, _source_id: str) -> int:
        return 0
