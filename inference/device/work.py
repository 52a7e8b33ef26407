"""One micro-batch record on its way through the worker, and what became of each of its frames."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame
from schemas.headers import Header
from schemas.records import BatchItem, Label, PixelEncoding

Embedding: TypeAlias = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Origin:
    """The record that the work came in; `generation` is that of our ownership of its partition when it was read."""

    topic: str
    partition: int
    offset: int
    generation: int
    timestamp_ms: int = 0
    key: bytes | None = None
    headers: tuple[Header, ...] = ()
    attempt: int = 0
    replay_id: str | None = None

    @property
    def place(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class Labelled:
    label: Label
    embedding: Embedding | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """No label: none ever for a BadFrame (dead letter), after any other error perhaps at another try (retry lane)."""

    error: Exception


Outcome: TypeAlias = Labelled | Failed


@dataclass(slots=True, eq=False)
class Work:
    """Frames of one source partition. `rows` are the indices of the items that go to the model, in order.

    `bad` is set, with the record's `raw` bytes, where there are no frames to be known at all.
    """

    origin: Origin
    items: tuple[BatchItem, ...] = ()
    source_topic: str = ""
    source_partition: int = 0
    encoding: PixelEncoding = PixelEncoding.I420
    pixels: bytes = b""
    rows: tuple[int, ...] = ()
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    bad: BadFrame | None = None
    raw: bytes = b""

    @property
    def is_whole(self) -> bool:
        """Every frame has its outcome."""
        return len(self.outcomes) == len(self.items)

    @property
    def frames(self) -> int:
        """What it counts for in limits: a record that cannot be read still is one."""
        return max(1, len(self.items))

    def source_of(self, index: int) -> Coordinates:
        return Coordinates(self.source_topic, self.source_partition, self.items[index].offset)
