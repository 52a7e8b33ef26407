"""Frames of the retry topic that wait for their time. Pure."""

import heapq
from collections.abc import Collection
from dataclasses import dataclass, field

from infra.failures.outcomes import FrameRecord
from infra.kafka.groups import Ticket
from infra.kafka.records import ConsumedRecord
from infra.settings import RetrySettings
from schemas import headers
from schemas.coordinates import Coordinates, TopicPartition
from streams.stage.frames import held_bytes


@dataclass(order=True, slots=True)
class HeldFrame:
    """A frame that waits for its time; `partition`, `offset`, `ticket` are those of its record on the retry topic."""

    due_ms: float
    partition: int
    offset: int
    ticket: Ticket[Coordinates | None] = field(compare=False)
    record: FrameRecord = field(compare=False)

    @property
    def size(self) -> int:
        return held_bytes(self.record)


class WaitingFrames:
    """Held frames by the time at which they are due, bounded in number and in bytes."""

    def __init__(self, settings: RetrySettings) -> None:
        self._settings = settings
        self._heap: list[HeldFrame] = []
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, held: HeldFrame) -> None:
        heapq.heappush(self._heap, held)
        self.size_bytes += held.size

    def take_due(self, now_ms: float) -> HeldFrame | None:
        """The frame that was due first; None while none is due."""
        if not self._heap or self._heap[0].due_ms > now_ms:
            return None
        held = heapq.heappop(self._heap)
        self.size_bytes -= held.size
        return held

    def is_full(self) -> bool:
        return len(self._heap) >= self._settings.max_held_frames or self.size_bytes >= self._settings.max_held_bytes

    def drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget the frames that were read from these partitions of the retry topic."""
        self._heap = [held for held in self._heap if held.ticket.topic_partition not in partitions]
        heapq.heapify(self._heap)
        self.size_bytes = sum(held.size for held in self._heap)


def due_ms(settings: RetrySettings, timestamp_ms: int, attempt: int, now_ms: float) -> float:
    """When a frame that has failed `attempt` times and was written at `timestamp_ms` is tried again.

    A timestamp in the future comes from a wrong clock and counts as now.
    """
    tier = min(max(attempt, 1), len(settings.delays_ms)) - 1
    return min(timestamp_ms, now_ms) + settings.delays_ms[tier]


def retried_frame(record: ConsumedRecord) -> FrameRecord:
    """The frame of a retry record, with the coordinates of its origin and its attempt.

    A record that names no origin was written by hand and is its own origin.
    """
    failure = headers.read_failure(record.headers)
    source, timestamp_ms = record.coordinates, record.timestamp_ms
    if failure is not None:
        source, timestamp_ms = failure.source, failure.timestamp_ms
    attempt = headers.attempt_of(record.headers)
    return FrameRecord(source, timestamp_ms, record.key, record.value, record.headers, attempt)
