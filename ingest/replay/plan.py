"""Makes the plan of a replay: the ranges of offsets, and how many frames and bytes they hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from infra.kafka.reader import Reader
from infra.kafka.retention import TopicRetention
from infra.kafka.spans import Span
from infra.process.times import now_us
from infra.settings import KIB, MIB, Settings
from ingest.publish.record_time import HOUR_US
from ingest.replay.archived import NO_ARCHIVE, Archived, without
from ingest.replay.history import History
from ingest.replay.ranges import PartitionTimes, bound_us, expected_span, expired_gap, span_of
from ingest.replay.selection import Sampler, Selection
from ingest.replay.wish import Wish
from schemas.coordinates import TopicPartition
from schemas.errors import SightlineError
from schemas.records import Micros, micros_to_iso
from schemas.replays import OffsetRange, ReplayGap, ReplayPlan

# Ranges up to this size are read to be counted.
COUNT_BYTES, COUNT_RECORDS = 32 * MIB, 20_000
# Records of each partition that are looked at for the size of a frame, at the begin and in the middle of its range.
LOOK_RECORDS = 2
SMALL_FETCHES = {"max.partition.fetch.bytes": 64 * KIB, "queued.min.messages": 1}

Stopped = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Found:
    """The plan, and with a sample the bound that takes its frames."""

    plan: ReplayPlan
    sample_below: int | None = None


class Planner:
    """Looks at the topic through `reader`; `history` is read where frames must be counted."""

    def __init__(
        self, settings: Settings, reader: Reader, history: History, topic: str, archived: Archived = NO_ARCHIVE
    ) -> None:
        self._settings, self._reader, self._history, self._topic = settings, reader, history, topic
        self._archived = archived

    def plan(self, wish: Wish, stop: Stopped, *, exact: bool = False) -> Found:
        """Raises SightlineError where there is nothing in the range, Unavailable without an answer from Kafka.

        `exact`, or a sample: all of the ranges is read, and frames and bytes are counts.
        """
        times = self._times(wish)
        spans = [part for one in times for part in without(span_of(one), self._archived.held)]
        archived = self._archived.ranges(wish.period)
        frame_bytes = self._frame_bytes(spans)
        expected = sum(len(part) for one in times for part in without(expected_span(one), self._archived.held))
        archived_frames, archived_bytes = self._archived.expected(wish.from_at, wish.to_at)
        estimate = ReplayPlan(
            frames=expected + archived_frames,
            bytes=int(expected * frame_bytes) + archived_bytes,
            exact=False,
            gaps=tuple(self._gaps(times, wish)),
            partitions=_ranges([*spans, *archived]),
        )
        records = sum(map(len, [*spans, *archived]))
        is_small = records <= COUNT_RECORDS and sum(map(len, spans)) * frame_bytes + archived_bytes <= COUNT_BYTES
        if not estimate.partitions:
            raise SightlineError(self._nothing(wish, estimate, times))
        if not (exact or is_small or wish.sample is not None):
            return Found(estimate)
        found = self._counted(estimate, wish, stop)
        if not found.plan.frames:
            raise SightlineError(self._nothing(wish, found.plan, times))
        return found

    def _times(self, wish: Wish) -> list[PartitionTimes]:
        keys = [TopicPartition(self._topic, number) for number in self._reader.partitions(self._topic)]
        ends = {span.topic_partition: span.end for span in self._reader.spans(self._topic)}
        starts = self._reader.log_starts(keys)
        late_us = self._settings.topics.frames_retention_h * HOUR_US // 2 if wish.late_us is None else wish.late_us
        asked_us = (wish.from_at, wish.to_at, bound_us(wish.to_at, late_us))
        firsts, pasts, beyonds = (self._reader.first_at(keys, at_us) for at_us in asked_us)
        return [PartitionTimes(key, starts[key], ends[key], firsts[key], pasts[key], beyonds[key]) for key in keys]

    def _gaps(self, times: Sequence[PartitionTimes], wish: Wish) -> list[ReplayGap]:
        kept_s = TopicRetention(self._settings).look([self._topic], 0.0).get(self._topic)
        oldest_kept: Micros | None = None if kept_s is None else now_us() - int(min(kept_s * 1e6, 1e18))
        expired = [expired_gap(one, wish.from_at, oldest_kept) for one in times]
        return self._archived.gaps((gap for gap in expired if gap is not None), wish.from_at, wish.period)

    def _frame_bytes(self, spans: Sequence[Span]) -> float:
        """The mean size of a few frames."""
        looks = []
        for span in spans:
            middle = (span.start + span.end) // 2
            looks.append(replace(span, end=min(span.end, span.start + LOOK_RECORDS)))
            looks.append(replace(span, start=max(middle, looks[-1].end), end=min(span.end, middle + LOOK_RECORDS)))
        if not looks:
            return 0.0
        with Reader(self._settings, **SMALL_FETCHES) as reader:
            sizes = [len(record.value or b"") for record in reader.read(looks)]
        return sum(sizes) / len(sizes) if sizes else 0.0

    def _counted(self, estimate: ReplayPlan, wish: Wish, stop: Stopped) -> Found:
        spans = [Span(*one.topic_partition, one.from_offset, one.to_offset) for one in estimate.partitions]
        selection = Selection(wish.period, wish.source_glob)
        sampler = None if wish.sample is None else Sampler(wish.sample)
        frames = size_bytes = 0
        for record in self._history.records(spans, stop):
            if selection.takes(record.partition, record.offset, record.timestamp_ms, record.key):
                frames += 1
                size_bytes += len(record.value or b"")
                if sampler is not None:
                    sampler.add(record.partition, record.offset)
        if stop():
            raise SightlineError("stopped while the frames were counted; nothing was copied")
        if sampler is None:
            return Found(replace(estimate, frames=frames, bytes=size_bytes, exact=True))
        # The sample itself is counted; its bytes are its share of those of the range.
        sampled_bytes = size_bytes * len(sampler) // max(1, frames)
        return Found(replace(estimate, frames=len(sampler), bytes=sampled_bytes, exact=True), sampler.below)

    def _nothing(self, wish: Wish, plan: ReplayPlan, times: Sequence[PartitionTimes]) -> str:
        range_ = f"from {micros_to_iso(wish.from_at)} to {micros_to_iso(wish.to_at)}"
        if wish.source_glob is not None and any(len(expected_span(one)) for one in times):
            return f"no frame {range_} is of a source that matches {wish.source_glob!r}: nothing was started"
        if plan.gaps:
            removed = sum(gap.to_offset - gap.from_offset for gap in plan.gaps)
            return (
                f"there is nothing {range_} on {self._topic} any more: retention has removed {removed:,} records. "
                "An archive may have them: --archive URL"
            )
        first_ms = [at for at in self._reader.first_times_ms([one.partition for one in times]).values() if at >= 0]
        removed = sum(one.start for one in times)
        holds = f"it is empty: retention has removed all of its {removed:,} records" if removed else "it is empty"
        if first_ms:
            holds = f"its oldest frame is of {micros_to_iso(min(first_ms) * 1000)}"
        return f"there is no frame {range_} on {self._topic} ({holds}): nothing was started"


def _ranges(spans: Sequence[Span]) -> tuple[OffsetRange, ...]:
    ordered = sorted(spans, key=lambda one: (one.partition, one.start))
    return tuple(OffsetRange(one.topic, one.partition, one.start, one.end) for one in ordered)
