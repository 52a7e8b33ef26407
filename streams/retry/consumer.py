"""The consumer of the retry topic: frames that failed with an error that may pass come back after their delay.

A thread reads `frames.retry` in a consumer group of its own, holds each frame until it is due, and hands it to the
stage as if it had just been read from its source topic. A waiting frame does not block frames of the source topic.
Deferred frames, which wait for the decoder and come without their bytes, are handed over at once.
Offsets are committed up to the first frame that the stage has not finished.
"""

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial

from infra.failures.outcomes import FrameRecord
from infra.kafka.groups import Ticket
from infra.kafka.holding_member import HoldingMember
from infra.kafka.records import ConsumedRecord
from infra.kafka.topic_ids import TopicIds
from infra.kafka.topics import Lane, TopicNames, group
from infra.process import logs, metrics
from infra.settings import Settings
from schemas.coordinates import Coordinates, TopicPartition
from streams.retry.waiting import HeldFrame, WaitingFrames, due_ms, retried_frame
from streams.stage.frames import PendingFrame
from streams.stage.inputs import Inputs

log = logs.get(__name__)

# At most this many retried frames are in the stage at once, so that they do not displace other frames.
MAX_IN_STAGE = 32
CLIENT_KEYS = {"queued.max.messages.kbytes": 8 * 1024, "topic.metadata.refresh.interval.ms": 10_000}


class RetryConsumer(HoldingMember[Coordinates | None]):
    """Gives the stage each frame that is due, while its gate is open and few retried frames are in it.

    A ticket holds the origin of a deferred frame. The stage calls `finish` of a frame in its own thread. Any thread may
    read `finished`, the number of frames that the stage has finished, and ask `progress` what any thread may ask.
    """

    def __init__(
        self,
        settings: Settings,
        lane: Lane,
        stage: Inputs,
        fail: Callable[[BaseException], None],
        topic_ids: TopicIds | None = None,
    ) -> None:
        super().__init__(
            settings,
            "retry",
            TopicNames.for_lane(settings.topic_prefix, lane).retry,
            group("retry", settings.topic_prefix, lane),
            fail,
            forced=CLIENT_KEYS,
            topic_ids=topic_ids,
        )
        self._settings = settings.retry
        self._is_live, self._replayed = lane == "live", TopicNames.for_lane(settings.topic_prefix, "replay").frames
        self._stage = stage
        self._max_ahead = settings.stream.max_frames_ahead // 2
        self._waiting = WaitingFrames(settings.retry)
        metrics.QUEUE_FRAMES.labels("retry").set_function(lambda: len(self._waiting))
        metrics.QUEUE_BYTES.labels("retry").set_function(lambda: self._waiting.size_bytes)
        self._in_stage = self.finished = 0  # under `_lock`: the stage's thread changes them as well

    def _hold(self, record: ConsumedRecord) -> None:
        frame = retried_frame(record)
        with self._lock:
            last_read = self.progress.last_read(record.topic_partition)
            if last_read is not None and record.offset <= last_read:
                # The log was cut: what was read of it before counts no more.
                self.progress.assign([record.topic_partition])
                self._waiting.drop([record.topic_partition])
            elif last_read is not None and record.offset > last_read + 1:
                self._first_commits.jumped(record.topic_partition, range(last_read + 1, record.offset))
            origin = frame.source if frame.is_deferred else None
            ticket = self.progress.start(record.topic_partition, record.offset, origin)
            if ticket is None:
                return
            # The processor of the other lane has its own group. What names no origin was written by hand and is live.
            if (frame.source.topic == self._replayed) is self._is_live:
                self.progress.finish(ticket)
                return
            oldest = self.progress.oldest(record.topic_partition)
            too_many = self.progress.ahead(record.topic_partition) > self._max_ahead
        if oldest is not None and oldest.item is not None and too_many:
            self._stage.defer_again(oldest.item)
        if frame.is_deferred:
            self._hand_over_deferred(frame, ticket)
            return
        due = due_ms(self._settings, record.timestamp_ms, frame.attempt, time.time() * 1000)
        self._waiting.add(HeldFrame(due, record.partition, record.offset, ticket, frame))

    def _hand_over(self) -> None:
        while self._in_stage < MAX_IN_STAGE and self._stage.is_open:
            held = self._waiting.take_due(time.time() * 1000)
            if held is None:
                break
            with self._lock:
                self._in_stage += 1
            finish = partial(self._on_finished, held.ticket, held.record.captured_ms, in_stage=1)
            self._stage.take(PendingFrame(held.record, finish))
        metrics.RETRY_HELD.set(len(self._waiting))

    def _hand_over_deferred(self, frame: FrameRecord, ticket: Ticket[Coordinates | None]) -> None:
        def is_current() -> bool:
            return self.progress.generation(ticket.topic_partition) == ticket.generation

        finish = partial(self._on_finished, ticket, frame.captured_ms, in_stage=0)
        self._stage.take_deferred(PendingFrame(frame, finish, is_current))

    def _on_finished(self, ticket: Ticket[Coordinates | None], captured_ms: int | None, in_stage: int) -> None:
        with self._lock:
            self._in_stage -= in_stage
            self.finished += 1
            self.progress.finish(ticket, captured_ms)

    def _is_full(self) -> bool:
        return self._waiting.is_full()

    def _drop(self, partitions: Collection[TopicPartition]) -> None:
        self._waiting.drop(partitions)

    def _on_gone(self, partition: TopicPartition, offsets: Sequence[range]) -> None:
        for one in offsets:
            metrics.RETRY_SKIPPED.inc(len(one))
            log.error(
                "retries are gone from their topic: their frames have no outcome",
                partition=str(partition),
                first=one[0],
                last=one[-1],
            )
