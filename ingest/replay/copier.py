"""Copies the frames of a replay from their history into the lane: each exactly once, from the committed place on."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from infra.kafka.records import ConsumedRecord
from infra.kafka.sender import OutRecord
from infra.kafka.spans import Span
from infra.process.lifecycle import Stop
from infra.replay.brake import FULL_RATE, Braking
from infra.settings import MIB
from ingest.replay.copies import copy_of
from ingest.replay.pacing import FULL_SPEED, Pacer, Rate, brake_s
from ingest.replay.parts import MAIN, Part, name_behind, noise_bound, part_of
from schemas.coordinates import Coordinates, TopicPartition
from schemas.replays import ReplayAction, ReplayGap, ReplayProgress, ReplayState

# A transaction holds no more than this, and frames wait no longer in it.
MAX_BYTES, MAX_RECORDS, MAX_S = 64 * MIB, 20_000, 1.0
# Without frames to copy, the progress is written this often: it also says that the copier is alive.
HEARTBEAT_S = 4.0
WAIT_STEP_S = 0.25
# So long the copier works before it rests, where it gives way to the live lane.
WORK_S = 0.05


class Writer(Protocol):
    """`ingest.replay.lane_writer.LaneWriter`."""

    committed: ReplayProgress | None

    def add(self, record: OutRecord) -> None: ...
    def commit(self, progress: ReplayProgress) -> None: ...
    def wait(self) -> None: ...


Records = Callable[[Sequence[Span], int | None], Iterator[ConsumedRecord]]


class Copier:
    """Runs one replay from its progress on; for one thread.

    `records`: the frames of the given ranges; those whose hash is not below the given bound may be left out. `gaps`:
    what was found to be gone, which `records` adds to. `asked`: what somebody asked this replay to do. `braking`: how
    far it gives way to the live lane.
    """

    def __init__(
        self,
        progress: ReplayProgress,
        lane_topic: str,
        records: Records,
        gaps: Sequence[ReplayGap],
        writer: Writer,
        stop: Stop,
        *,
        rate: Rate = FULL_SPEED,
        asked: Callable[[], ReplayAction | None] = lambda: None,
        braking: Callable[[], Braking] = lambda: FULL_RATE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress, self._lane_topic, self._records, self._gaps = progress, lane_topic, records, gaps
        self._writer, self._stop, self._asked, self._braking, self._clock = writer, stop, asked, braking, clock
        self._rate = rate
        self._positions = {TopicPartition(one.topic, one.partition): one.offset for one in progress.positions}
        self._copied, self._copied_bytes, self._skipped = progress.copied, progress.copied_bytes, progress.skipped
        self._noise_copied = progress.noise_copied
        self._main_gaps: int | None = None if progress.part == MAIN else 0
        # Of the transaction that is being filled.
        self._added, self._added_bytes = 0, 0
        self._begun_s = self._worked_s = clock()

    def run(self) -> ReplayProgress:
        """The last progress, committed: COMPLETED, PAUSED, or ABORTED.

        Raises Stalled or Unavailable when it cannot go on: what is committed stays, and there `resume` begins.
        """
        while self._copy(part_of(self._progress)) and self._begin_next_part():
            pass
        action = self._asked()
        if action is ReplayAction.CANCEL:
            self._commit(ReplayState.ABORTED, "it was cancelled")
        elif action is ReplayAction.PAUSE:
            self._commit(ReplayState.PAUSED, "it was asked to pause")
        elif self._stop.is_set():
            self._commit(ReplayState.PAUSED, "its copier was stopped")
        else:
            self._commit(ReplayState.COMPLETED)
        self._writer.wait()
        assert self._writer.committed is not None
        return self._writer.committed

    def _copy(self, part: Part) -> bool:
        """Copy what is left of a part. False: it ended early, because of the stop or a request."""
        pacer, selection, spans = Pacer(self._rate, self._clock()), part.selection, self._left()
        for record in self._records(spans, selection.below):
            if self._is_to_end():
                return False
            if not selection.takes(record.partition, record.offset, record.timestamp_ms, record.key):
                self._skipped += not part.is_noise
            elif self._wait_turn(pacer, record):
                self._take(record, part)
            else:
                return False
            self._positions[record.topic_partition] = record.offset + 1
            self._commit_when_due()
        if self._is_to_end():
            return False
        self._positions.update((span.topic_partition, span.end) for span in spans)
        return True

    def _left(self) -> list[Span]:
        """The ranges of the plan from the present positions on."""
        ranges = ((one, one.topic_partition) for one in self._progress.plan.partitions)
        spans = [Span(*key, max(one.from_offset, self._positions.get(key, 0)), one.to_offset) for one, key in ranges]
        return [span for span in spans if len(span)]

    def _begin_next_part(self) -> bool:
        """False: there is none."""
        done = self._now(ReplayState.IN_PROGRESS)
        part = name_behind(done)
        if part is None:
            return False
        self._commit(ReplayState.IN_PROGRESS)
        if done.part == MAIN:
            # What the repeats do not find any more is no gap in the replay.
            self._main_gaps = len(self._gaps)
        self._progress = replace(self._progress, part=part, noise_below=noise_bound(done))
        self._positions.clear()
        return True

    def _take(self, record: ConsumedRecord, part: Part) -> None:
        self._writer.add(copy_of(record, self._lane_topic, part.replay_id, no_cache=part.is_noise))
        size_bytes = len(record.value or b"")
        self._added += 1
        self._added_bytes += size_bytes
        if part.is_noise:
            self._noise_copied += 1
        else:
            self._copied += 1
            self._copied_bytes += size_bytes

    def _wait_turn(self, pacer: Pacer, record: ConsumedRecord) -> bool:
        """Wait until the record may go. False: the copier is to end first."""
        while True:
            now_s = self._clock()
            wait_s = self._rest_s(now_s) or pacer.wait_s(now_s, record.timestamp_ms, len(record.value or b""))
            if wait_s <= 0:
                return True
            self._stop.wait(min(wait_s, WAIT_STEP_S))
            self._commit_when_due()
            if self._is_to_end():
                return False

    def _rest_s(self, now_s: float) -> float:
        """How long to rest for the live lane's sake."""
        worked_s = now_s - self._worked_s
        if worked_s < 0:  # it rests already
            return -worked_s
        if worked_s < WORK_S:
            return 0.0
        factor = self._braking().factor
        rest_s = 0.0 if factor >= 1 else brake_s(worked_s, factor)
        self._worked_s = now_s + rest_s
        return rest_s

    def _is_to_end(self) -> bool:
        return self._stop.is_set() or self._asked() is not None

    def _commit_when_due(self) -> None:
        since_s = self._clock() - self._begun_s
        is_full = self._added_bytes >= MAX_BYTES or self._added >= MAX_RECORDS
        if is_full or since_s >= (MAX_S if self._added else HEARTBEAT_S):
            self._commit(ReplayState.IN_PROGRESS, self._braking().reason or None)

    def _commit(self, state: ReplayState, reason: str | None = None) -> None:
        """What was copied so far, and how far that is."""
        self._writer.commit(self._now(state, reason))
        self._added, self._added_bytes, self._begun_s = 0, 0, self._clock()

    def _now(self, state: ReplayState, reason: str | None = None) -> ReplayProgress:
        for gap in self._gaps:
            key = TopicPartition(gap.topic, gap.partition)
            self._positions[key] = max(self._positions.get(key, 0), gap.to_offset)
        return replace(
            self._progress,
            state=state,
            reason=reason,
            positions=tuple(Coordinates(*key, offset) for key, offset in sorted(self._positions.items())),
            copied=self._copied,
            copied_bytes=self._copied_bytes,
            skipped=self._skipped,
            noise_copied=self._noise_copied,
            gaps=self._progress.gaps + tuple(self._gaps[: self._main_gaps]),
        )
