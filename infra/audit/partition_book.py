"""What is known of each offset of one partition: its outcomes, and what it holds. Pure."""

from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from infra.audit.frame_ids import FrameIds
from infra.kafka.spans import Span

FULL = 255

Counts = NDArray[np.uint8]


class OffsetState(IntEnum):
    """What an offset holds.

    FRAME: a frame of the period. OTHER_TIME: a frame outside the period. NO_FRAME: a transaction marker, or a record
    that was compacted away. EXPIRED: retention removed it before the audit could look. UNDER_WAY: a frame of the
    period that a stage still has to finish.
    """

    UNKNOWN = 0
    FRAME = 1
    OTHER_TIME = 2
    NO_FRAME = 3
    EXPIRED = 4
    UNDER_WAY = 5


@dataclass(slots=True)
class PartitionBook:
    """How often each offset of one partition was labelled, declared dead, redriven, corrected. Counts stop at 255."""

    span: Span
    labels: Counts = field(init=False)
    dead: Counts = field(init=False)
    redriven: Counts = field(init=False)
    corrections: Counts = field(init=False)
    state: Counts = field(init=False)
    ids: FrameIds = field(init=False)

    def __post_init__(self) -> None:
        size = len(self.span)
        self.ids = FrameIds(size)
        self.labels, self.dead, self.redriven, self.corrections, self.state = (
            np.zeros(size, np.uint8) for _ in range(5)
        )

    def grow(self, end: int) -> None:
        """Extend the span to the offset `end`. The counts so far stay."""
        if end <= self.span.end:
            return
        more = np.zeros(end - self.span.end, np.uint8)
        self.ids.grow(len(more))
        self.span = replace(self.span, end=end)
        for column in ("labels", "dead", "redriven", "corrections", "state"):
            setattr(self, column, np.concatenate([getattr(self, column), more]))

    def forget(self, index: int, state: OffsetState) -> None:
        """What was counted there were outcomes of another frame."""
        self.labels[index] = self.dead[index] = self.redriven[index] = self.corrections[index] = 0
        self.state[index] = state

    def without_outcome(self) -> NDArray[np.bool_]:
        """The offsets that may hold a frame of the period and have no outcome, as a mask."""
        found: NDArray[np.bool_] = (self.labels == 0) & (self.dead == 0) & (self.state <= OffsetState.FRAME)
        return found

    def in_period(self) -> NDArray[np.bool_]:
        """The offsets whose outcomes count: all but the frames of another time, as a mask."""
        found: NDArray[np.bool_] = self.state != OffsetState.OTHER_TIME
        return found

    def corrected(self) -> int:
        """The number of corrections of frames of the period. They are no outcomes: a frame without any is missing."""
        return int(self.corrections[self.in_period() & (self.state != OffsetState.NO_FRAME)].sum())

    def surplus(self) -> int:
        """The number of duplicates. A frame may have one outcome, and one more for each time that it was redriven."""
        outcomes = self.labels.astype(np.int32) + self.dead - self.redriven
        return int(np.maximum(outcomes - 1, 0)[self.in_period()].sum())
