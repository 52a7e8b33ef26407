"""The records of `replay.progress`, as frozen dataclasses; field names are those of the Avro schemas."""

from dataclasses import dataclass
from enum import StrEnum

from schemas.coordinates import Coordinates, TopicPartition
from schemas.records import Micros


class ReplayState(StrEnum):
    """The words of Debezium's notifications. COMPLETED: every frame of the plan that was there is in the lane."""

    STARTED = "STARTED"
    IN_PROGRESS = "IN_PROGRESS"
    PAUSED = "PAUSED"
    RESUMED = "RESUMED"
    ABORTED = "ABORTED"
    COMPLETED = "COMPLETED"

    @property
    def is_running(self) -> bool:
        return self in (ReplayState.STARTED, ReplayState.IN_PROGRESS, ReplayState.RESUMED)

    @property
    def is_final(self) -> bool:
        return self in (ReplayState.ABORTED, ReplayState.COMPLETED)


class ReplayAction(StrEnum):
    PAUSE = "PAUSE"
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Offsets of one partition, without `to_offset`."""

    topic: str
    partition: int
    from_offset: int
    to_offset: int

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class ReplayGap:
    """Offsets, without `to_offset`, that could not be read any more, and why."""

    topic: str
    partition: int
    from_offset: int
    to_offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a replay reads. `exact`: false where `frames` and `bytes` are estimates. `gaps`: gone before it began."""

    frames: int
    bytes: int
    exact: bool
    gaps: tuple[ReplayGap, ...] = ()
    partitions: tuple[OffsetRange, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """State and position of one replay.

    `from_at` and `to_at` bound the time of the records, without `to_at`. `positions`: the next offset to read of each
    partition that was begun, in the `part` (main, a, b) that is being copied. `lane`: the ranges of `frames.replay` in
    which the copies lie, also those of the noise. `copied` and `copied_bytes` count the main part.
    """

    replay_id: str
    state: ReplayState
    topic: str
    from_at: Micros
    to_at: Micros
    started_at: Micros
    updated_at: Micros
    process: str
    plan: ReplayPlan
    reason: str | None = None
    topic_id: str | None = None
    archive: str | None = None
    source_glob: str | None = None
    rate: str | None = None
    sample: int | None = None
    sample_below: int | None = None
    model: str | None = None
    noise: int = 0
    noise_below: int | None = None
    part: str = "main"
    positions: tuple[Coordinates, ...] = ()
    lane: tuple[OffsetRange, ...] = ()
    copied: int = 0
    copied_bytes: int = 0
    skipped: int = 0
    noise_copied: int = 0
    gaps: tuple[ReplayGap, ...] = ()

    @property
    def all_gaps(self) -> tuple[ReplayGap, ...]:
        return self.plan.gaps + self.gaps


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What the copier of a replay is asked to do."""

    replay_id: str
    action: ReplayAction
    at: Micros
