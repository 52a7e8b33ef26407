"""One micro-batch record on its way through the worker, and the outcome of each of its frames."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from infra.kafka.records import ConsumedRecord
from schemas.clocks import read_batch_clocks
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame
from schemas.records import BatchItem, Label, PixelEncoding

if TYPE_CHECKING:
    from infra.process.spans import Span

Embedding: TypeAlias = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class LabelledFrame:
    label: Label
    embedding: Embedding | None = None


@dataclass(frozen=True, slots=True)
class FrameFailure:
    """A frame without a label. After a BadFrame it never gets one (dead letter); any other error may pass (retry)."""

    error: Exception


FrameOutcome: TypeAlias = LabelledFrame | FrameFailure


@dataclass(slots=True, eq=False)
class Work:
    """The frames of one record, which are all of one source partition.

    `record` is kept without its value, except where the value cannot be decoded: then `bad` says why, and there are
    no items. `generation` is that of the record's partition when it was read (see `infra.kafka.groups`).
    `preparation` is how the stream stage made the pixels, None if it does not tell.
    `may_be_cached`: its labels may go to the cache, those of a replay under its id.
    `rows` are the indices of the items that go to the model, in order. `skipped_batches`: this work stands for so many
    micro-batches that retention removed before a worker had read them (see `gone_work`), and `bad` says which.
    `spans`: of the frames that are sampled, by their index, while traces are on.
    """

    record: ConsumedRecord
    generation: int
    items: tuple[BatchItem, ...] = ()
    source_topic: str = ""
    source_partition: int = 0
    encoding: PixelEncoding = PixelEncoding.I420
    pixels: bytes = b""
    preparation: str | None = None
    rows: tuple[int, ...] = ()
    outcomes: dict[int, FrameOutcome] = field(default_factory=dict)
    replay_id: str | None = None
    may_be_cached: bool = True
    bad: BadFrame | None = None
    skipped_batches: int = 0
    spans: "dict[int, Span]" = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Every frame has its outcome."""
        return len(self.outcomes) == len(self.items)

    @property
    def frames(self) -> int:
        """How many frames it counts for in limits; a record that cannot be decoded counts as one."""
        return max(1, len(self.items))

    @property
    def newest_ms(self) -> int | None:
        """The capture time of its newest frame; where that is not credible, the time of the frame's record."""
        clocks = read_batch_clocks(self.record.headers, len(self.items))
        found = zip(clocks, self.items, strict=True)
        return max((clock or item.captured_at // 1000 for clock, item in found), default=None)

    def source_of(self, index: int) -> Coordinates:
        return Coordinates(self.source_topic, self.source_partition, self.items[index].offset)
