"""Reads topics without a consumer group: a range with a fixed end, or everything from a position on.

A reader commits nothing and joins no group, so it disturbs no other consumer, and many may run at the same time.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError
from confluent_kafka.admin import ListOffsetsResultInfo, OffsetSpec

from infra.kafka.clients import METADATA_MAX_AGE_MS, admin, bootstrap, consumer, list_offsets
from infra.kafka.errors import FaultKind, KafkaFault, fault_of
from infra.kafka.records import ConsumedRecord, consumed_record
from infra.kafka.spans import Span
from infra.process import logs
from infra.process.lifecycle import Deadline
from infra.settings import Settings
from schemas.coordinates import TopicPartition
from schemas.errors import Unavailable
from schemas.records import Micros

log = logs.get(__name__)

POLL_S = 0.2
POLL_MESSAGES = 500
METADATA_S = METADATA_MAX_AGE_MS / 1000
# A range has records before its end, so no record for this long means that the broker is away.
SILENCE_S = 60.0
# A partition without a leader for longer than this is an outage.
LEADERS_S = 15.0

_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]

_Left = dict[TopicPartition, deque[Span]]


class Reader:
    """Use as a context manager, from one thread. Reads committed records only, and one range or follow at a time.

    `expired` lists offsets that retention removed after the range was fixed and before it was read. They are skipped;
    the caller reports them.
    """

    def __init__(self, settings: Settings, **extra: Any) -> None:
        self._address = bootstrap(settings)
        self._timeout_s = settings.kafka.start_timeout_ms / 1000
        self._admin = admin(settings)
        # librdkafka wants a group name even where none is joined.
        self._consumer = consumer(
            settings, "sightline-reader", **{"enable.partition.eof": True, "auto.offset.reset": "error", **extra}
        )
        self.expired: list[Span] = []
        # How long records are gathered: shorter where each read leads to a jump.
        self.poll_s = POLL_S
        # Partitions whose position changed while a batch was processed: the rest of the batch is from the old position.
        self._moved: set[TopicPartition] = set()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    # -- offsets

    def partitions(self, topic: str) -> list[int]:
        """Raises Unavailable when the topic is not there or Kafka does not answer."""
        try:
            # All topics are listed: a request for one by name can make the broker create it. The client that will read
            # them is asked: one that knows no leader of a partition looks for it once a second only.
            found = self._consumer.list_topics(timeout=self._timeout_s).topics.get(topic)
        except confluent_kafka.KafkaException as error:
            raise self._unavailable(error) from error
        if found is None or not found.partitions:
            hint = f"has no topic {topic}. Create them with `sightline topics create`"
            raise Unavailable("Kafka", self._address, hint, answers=True)
        return sorted(found.partitions)

    def spans(self, topic: str, from_us: Micros | None = None, to_us: Micros | None = None) -> list[Span]:
        """Every partition from its first record that is not older than `from_us` to its present end.

        With `to_us` it ends before the first record from `from_us` on that is as late as that, if there is one.

        No record written later is in the ranges, and no record of `from_us` or later lies before them. Older records
        may be in them, and no offset marks the last record of a time: for a Period, check the timestamp of each record.
        """
        keys = [TopicPartition(topic, partition) for partition in self.partitions(topic)]
        ends = self._offsets(keys, _LATEST)
        starts = self._offsets(keys, _EARLIEST)
        if from_us is not None:
            starts = self._first_or_end(keys, from_us, ends)
        if to_us is not None:
            ends = self._first_or_end(keys, to_us, ends)
        return [Span(*key, min(starts[key], ends[key]), ends[key]) for key in keys]

    def first_at(self, keys: Iterable[TopicPartition], at_us: Micros) -> dict[TopicPartition, int | None]:
        """The first record of that time or later, per partition; None where there is none. A disordered log has
        records of a later time before it, never one that it passed over.
        """
        # A negative timestamp means something else to Kafka; -1 as the answer: no record is as late as that.
        found = self._offsets(list(keys), OffsetSpec.for_timestamp(max(0, -(-at_us // 1000))))
        return {key: None if offset < 0 else offset for key, offset in found.items()}

    def tail(self, topic: str) -> list[Span]:
        """Empty ranges at the end of every partition: the start for a reader of new records only."""
        return [Span(span.topic, span.partition, span.end, span.end) for span in self.spans(topic)]

    def log_starts(self, keys: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset that still exists, per partition."""
        return self._offsets(list(keys), _EARLIEST)

    def first_times_ms(self, keys: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The timestamp of the first record that still exists, per partition; -1 where there is none."""
        found = self._look_up(list(keys), OffsetSpec.for_timestamp(0))
        return {key: int(place.timestamp) for key, place in found.items()}

    # -- reading

    def read(self, spans: Iterable[Span], stop: Callable[[], bool] = lambda: False) -> Iterator[ConsumedRecord]:
        """Yields every record of the ranges and ends; ends early when `stop()` returns true.

        Several ranges of one partition come in order and must not overlap. A partition ends by its position and not by
        a count of records, because compaction and transaction markers leave gaps. Raises Unavailable when no record
        comes for a minute before the end; the time that the caller takes for a record does not count.
        """
        left: _Left = {}
        for span in sorted(spans, key=lambda span: (span.topic_partition, span.start)):
            if len(span):
                left.setdefault(span.topic_partition, deque()).append(span)
        self._assign(waiting[0] for waiting in left.values())
        heard_s = time.monotonic()
        while left and not stop():
            self._moved.clear()
            records = self._consume()
            for record, error in records:
                key = record.topic_partition
                if key in self._moved:
                    continue
                if error is not None:
                    self._on_error(error, record, left)
                elif key in left:
                    span = left[key][0]
                    if span.start <= record.offset < span.end:
                        yield record
                    if record.offset + 1 >= span.end:
                        self._finish(key, record.offset + 1, left)
            if records:
                heard_s = time.monotonic()  # after the caller's work: its time does not count
            elif time.monotonic() - heard_s > SILENCE_S:
                raise Unavailable("Kafka", self._address, f"nothing came for {SILENCE_S:g} s in the middle of a range")
        self._consumer.unassign()

    def follow(self, starts: Iterable[Span]) -> Iterator[ConsumedRecord | None]:
        """Yields every record from the starts on, without an end; None when there is no record at the moment.

        Partitions that are added to the topics later are read from their beginning.
        """
        known = {span.topic_partition: span for span in starts}
        self._assign(known.values())
        looked_s = time.monotonic()
        while True:
            records = self._consume()
            for record, error in records:
                if error is None:
                    yield record
                else:
                    self._on_error(error, record, None)
            if not records:
                yield None
            if time.monotonic() - looked_s > METADATA_S:
                looked_s = time.monotonic()
                try:
                    self._add_partitions(known)
                except Unavailable as error:
                    # A broker that is away does not end the reading: the next look finds the new partitions.
                    log.warning("new partitions are not looked for now", error=str(error))

    def _assign(self, spans: Iterable[Span]) -> None:
        self._consumer.assign(
            [confluent_kafka.TopicPartition(span.topic, span.partition, span.start) for span in spans]
        )

    def _consume(self) -> list[tuple[ConsumedRecord, KafkaError | None]]:
        """The first one that comes, and what has come with it: for a full list the client waits for the whole time."""
        messages = self._consumer.consume(1, self.poll_s)
        if messages:
            messages += self._consumer.consume(POLL_MESSAGES - 1, 0)
        return [(consumed_record(message), message.error()) for message in messages]

    def _finish(self, key: TopicPartition, position: int, left: _Left) -> None:
        """The first range of the partition is read, and every other that ends before `position`."""
        waiting = left[key]
        while waiting and waiting[0].end <= position:
            waiting.popleft()
        if waiting:
            self._go_to(key, waiting[0].start)
        else:
            del left[key]
            self._consumer.incremental_unassign([confluent_kafka.TopicPartition(*key)])

    def _go_to(self, key: TopicPartition, offset: int) -> None:
        # Not by seek: it fails on a partition that stopped with an error.
        self._consumer.incremental_unassign([confluent_kafka.TopicPartition(*key)])
        self._consumer.incremental_assign([confluent_kafka.TopicPartition(*key, offset)])
        self._moved.add(key)

    def _on_error(self, error: KafkaError, place: ConsumedRecord, left: _Left | None) -> None:
        """`left`: the ranges still to be read; None in `follow`."""
        fault, key = fault_of(error), place.topic_partition
        if left is not None and key not in left:
            return
        if fault.kind is FaultKind.END_OF_PARTITION:
            # The end of the range holds no record: transaction markers, compacted or aborted records.
            if left is not None and place.offset >= left[key][0].end:
                self._finish(key, place.offset, left)
        elif fault.kind is FaultKind.NO_OFFSET:
            self._skip_expired(key, place.offset, left)
        elif _may_pass(fault):
            log.warning("reading is interrupted", error=fault.text)
        else:
            raise self._unavailable(confluent_kafka.KafkaException(error))

    def _skip_expired(self, key: TopicPartition, wanted: int, left: _Left | None) -> None:
        first = self.log_starts([key])[key]
        end = self._offsets([key], _LATEST)[key]
        if wanted > end:
            log.warning(
                "the log ends before the wanted offset: reading goes on at its end", topic=key[0], partition=key[1]
            )
            first = max(first, end)
        lost = [Span(*key, wanted, first)] if left is None else left[key]
        for span in lost:
            gone = Span(*key, max(span.start, wanted), min(first, span.end))
            if len(gone):
                self.expired.append(gone)
        if left is None or left[key][0].end > first:
            self._go_to(key, first)
        else:
            self._finish(key, first, left)

    def _add_partitions(self, known: dict[TopicPartition, Span]) -> None:
        for topic in {topic for topic, _ in known}:
            new = [
                Span(topic, number, 0, 0)
                for number in self.partitions(topic)
                if TopicPartition(topic, number) not in known
            ]
            known.update((span.topic_partition, span) for span in new)
            if new:
                self._consumer.incremental_assign(
                    [confluent_kafka.TopicPartition(span.topic, span.partition, 0) for span in new]
                )

    def _offsets(self, keys: list[TopicPartition], spec: OffsetSpec) -> dict[TopicPartition, int]:
        return {key: int(place.offset) for key, place in self._look_up(keys, spec).items()}

    def _first_or_end(
        self, keys: list[TopicPartition], at_us: Micros, ends: dict[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """The first record that is as late as that; the end where none is."""
        return {key: ends[key] if at is None else min(at, ends[key]) for key, at in self.first_at(keys, at_us).items()}

    def _look_up(self, keys: list[TopicPartition], spec: OffsetSpec) -> dict[TopicPartition, ListOffsetsResultInfo]:
        """Asks again while a partition has no leader; raises Unavailable when that takes too long."""
        if not keys:
            return {}
        deadline = Deadline(LEADERS_S)
        while True:
            try:
                return list_offsets(self._admin, keys, spec, self._timeout_s)
            except confluent_kafka.KafkaException as error:
                if deadline.expired() or not _may_pass(fault_of(error.args[0])):
                    raise self._unavailable(error) from error
                time.sleep(POLL_S)

    def _unavailable(self, error: confluent_kafka.KafkaException) -> Unavailable:
        return Unavailable("Kafka", self._address, error.args[0].str())


def _may_pass(fault: KafkaFault) -> bool:
    """A topic or partition that was just created is unknown to some brokers for a moment."""
    return fault.kind is FaultKind.PASSING or fault.name in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_PARTITION")
