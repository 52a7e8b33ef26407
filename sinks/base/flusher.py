"""One attempt to store a micro-batch: decode, leave out repeats, add, send refused labels to `labels.dead`, flush."""

import time
from collections.abc import Iterable, Mapping, Sequence

from infra.failures.breaker import Breaker
from infra.failures.unknown_versions import VersionGuard
from infra.kafka.groups import GroupProgress
from infra.kafka.traces import around
from infra.process import metrics
from infra.process.lifecycle import Deadline
from schemas import codec
from schemas.codec import Registry
from schemas.coordinates import TopicPartition
from schemas.errors import BadFrame, BadLabel, Busy, SinkError, Stalled, Unavailable
from schemas.records import Label
from sinks.base.batch import Entry, positions_behind
from sinks.base.contract import Row, Sink
from sinks.base.dead import DeadLabels
from sinks.base.repeats import RepeatWindow

REGISTRY_AGAIN_S = 1.0


class Flusher:
    """Stores micro-batches in the sink. It keeps the decision about each entry in the entry, for the next attempt."""

    def __init__(
        self,
        sink: Sink,
        progress: GroupProgress[None],
        dead: DeadLabels,
        breaker: Breaker,
        guard: VersionGuard,
        window_offsets: int,
        registry: Registry | None = None,
    ) -> None:
        self._sink, self._progress, self._dead, self._breaker = sink, progress, dead, breaker
        self._guard = guard
        self._window_offsets, self._registry = window_offsets, registry
        self._windows: dict[TopicPartition, RepeatWindow] = {}

    def begin(self, partitions: Iterable[TopicPartition]) -> None:
        """Start with an empty window for these partitions, which are read from the start of their window of repeats."""
        for partition in partitions:
            self._windows[partition] = RepeatWindow(self._window_offsets)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._windows.pop(partition, None)

    def flush(self, entries: Sequence[Entry], deadline: Deadline) -> dict[TopicPartition, int]:
        """Store the entries and the positions after them, and finish their tickets. Returns the positions.

        Raises Busy when nothing was stored and the same call must be made again later. Raises SinkError when the sink
        cannot be written to, and Stalled when it refuses nearly every label or a newer sink is needed. `deadline`
        bounds the wait for acknowledged dead letters.
        """
        positions, started_ns = positions_behind(entries), time.time_ns()
        try:
            for entry in entries:
                if not entry.is_judged:
                    self._judge(entry)
            while not self._store(entries, positions, deadline):
                self._sink.discard()
        except BaseException:
            self._sink.discard()
            raise
        self._trace(entries, started_ns)
        self._settle(entries)
        return positions

    def _judge(self, entry: Entry) -> None:
        record, is_wanted = entry.record, entry.ticket is not None
        try:
            label = codec.decode(Label, record.value, self._registry)
        except Unavailable as away:
            raise Busy(REGISTRY_AGAIN_S, str(away)) from away
        except BadFrame as error:
            if is_wanted:
                self._guard.check(record, error)
                entry.refuse(BadLabel(error.reason, error.detail, record.coordinates))
        else:
            is_repeat = self._windows[record.topic_partition].is_repeat(record.offset, label)
            if is_wanted and not is_repeat:
                entry.row = Row(label, record.coordinates)
        entry.is_judged = True

    def _store(self, entries: Sequence[Entry], positions: Mapping[TopicPartition, int], deadline: Deadline) -> bool:
        """False when the flush refused a label: the attempt must be repeated without it."""
        rows = 0
        for entry in entries:
            if entry.row is not None:
                try:
                    self._sink.add(entry.row)
                    rows += 1
                except BadLabel as bad:
                    entry.refuse(bad)
        # Before the flush, because a flush that stores positions moves the sink past the refused labels.
        self._dead.send([entry for entry in entries if entry.bad is not None], deadline)
        started_s = time.perf_counter()
        try:
            self._sink.flush(positions)
        except BadLabel as bad:
            refused = [entry for entry in entries if entry.row is not None and entry.row.at == bad.at]
            if not refused:
                raise SinkError(f"{self._sink.name} refused a label without saying which: {bad}") from bad
            for entry in refused:
                entry.refuse(bad)
            return False
        if rows:
            metrics.SINK_FLUSH_SECONDS.labels(self._sink.name).observe(time.perf_counter() - started_s)
        return True

    def _trace(self, entries: Sequence[Entry], started_ns: int) -> None:
        spans = [entry.span for entry in entries if entry.span is not None]
        name = self._sink.name
        flush = around(f"flush {name}", "flush", spans, {"sightline.labels": len(entries)}, started_ns)
        if flush is None:
            return
        flush.end()
        for entry in entries:
            if entry.span is None:
                continue
            if entry.bad is not None:
                entry.span.fail(entry.bad.reason, str(entry.bad))
            entry.span.end()

    def _settle(self, entries: Sequence[Entry]) -> None:
        counts = {"written": 0, "repeated": 0, "refused": 0}
        for entry in entries:
            if entry.ticket is None:
                continue
            self._progress.finish(entry.ticket, entry.captured_ms)
            counts["written" if entry.row else "refused" if entry.bad else "repeated"] += 1
            if entry.bad is not None:
                self._breaker.record(entry.bad.reason)
            else:
                self._breaker.record()
        for result, count in counts.items():
            metrics.SINK_LABELS.labels(self._sink.name, result).inc(count)
        reason = self._breaker.verdict()
        if reason is not None:
            raise Stalled(reason)
