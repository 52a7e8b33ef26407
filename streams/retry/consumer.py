"""The consumer of the retry topic: frames that failed with an error that may pass come back after their delay.

A thread reads `frames.retry` in a consumer group of its own, holds each frame until it is due, and hands it to the
stage as if it had just been read from its source topic. A waiting frame does not block frames of the source topic.
Deferred frames, which wait for the decoder and come without their bytes, are handed over at once.
Offsets are committed up to the first frame that the stage has not finished.
"""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

from infra.failures.outcomes import FrameRecord
from infra.kafka.consumer import CommitReport, GroupConsumer, PartitionFault
from infra.kafka.errors import KafkaFailure, raise_if_final
from infra.kafka.first_commits import FirstCommits
from infra.kafka.groups import GroupProgress, Ticket
from infra.kafka.records import ConsumedRecord
from infra.kafka.topic_ids import TopicIds
from infra.kafka.topics import Lane, TopicNames, group
from infra.process import logs, metrics
from infra.process.lifecycle import Deadline
from infra.settings import Settings
from schemas.coordinates import Coordinates, TopicPartition
from streams.retry.waiting import HeldFrame, WaitingFrames, due_ms, retried_frame
from streams.stage.frames import PendingFrame
from streams.stage.inputs import Inputs

log = logs.get(__name__)

STAGE = "retry"
POLL_S = 0.1
COMMIT_S = 1.0
# At most this many retried frames are in the stage at once, so that they do not displace other frames.
MAX_IN_STAGE = 32
CLIENT_KEYS = {"queued.max.messages.kbytes": 8 * 1024, "topic.metadata.refresh.interval.ms": 10_000}


class RetryConsumer:
    """Gives the stage each frame that is due, while its gate is open and few retried frames are in it.

    The stage calls `finish` of a frame in its own thread. Any thread may read `finished`, the number of frames that the
    stage has finished, and ask `progress` what any thread may ask.
    """

    def __init__(
        self,
        settings: Settings,
        lane: Lane,
        stage: Inputs,
        fail: Callable[[BaseException], None],
        topic_ids: TopicIds | None = None,
    ) -> None:
        self._settings = settings.retry
        self._topic = TopicNames.for_lane(settings.topic_prefix, lane).retry
        self._other_frames = TopicNames.for_lane(settings.topic_prefix, "replay" if lane == "live" else "live").frames
        self._stage, self._fail = stage, fail
        self._max_ahead = settings.stream.max_frames_ahead // 2
        self._waiting = WaitingFrames(settings.retry)
        metrics.QUEUE_FRAMES.labels("retry").set_function(lambda: len(self._waiting))
        metrics.QUEUE_BYTES.labels("retry").set_function(lambda: self._waiting.size_bytes)
        self._lock = threading.Lock()  # around `_progress` and the counts, which the stage's thread changes as well
        # A ticket holds the origin of a deferred frame.
        self.progress: GroupProgress[Coordinates | None] = GroupProgress()
        self._in_stage = 0
        self.finished = 0
        self._is_committing = False
        self._consumer = GroupConsumer(
            settings,
            group("retry", settings.topic_prefix, lane),
            on_commit=self._on_commit,
            forced=CLIENT_KEYS,
            topic_ids=topic_ids,
        )
        self._first_commits = FirstCommits(self._consumer, self.progress)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retry", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Commit what is finished and leave the group."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._consumer.subscribe([self._topic], self)
            commit_at_s = 0.0
            while not self._closing.is_set():
                self._poll()
                self._hand_over()
                self._keep_bounds()
                with self._lock:
                    gone = self._first_commits.look(time.monotonic())
                _tell_gone(gone)
                if time.monotonic() >= commit_at_s and not self._is_committing:
                    self._commit_soon()
                    commit_at_s = time.monotonic() + COMMIT_S
            self._commit_at_end()
            self._consumer.close()
        except Exception as error:  # noqa: BLE001 - without this thread frames would wait for ever, unnoticed
            self._fail(error)

    def _poll(self) -> None:
        """Read until nothing more is there or the bounds are reached."""
        found = self._consumer.poll(POLL_S)
        while found is not None:
            if isinstance(found, ConsumedRecord):
                self._hold(found)
            else:
                self._on_fault(found)
            if self._waiting.is_full():
                return
            found = self._consumer.poll(0)

    def _on_fault(self, found: PartitionFault) -> None:
        """The client recovers by itself from every fault that is not final."""
        raise_if_final(found.fault)
        log.warning("the retry topic's consumer reports an error", error=found.fault.text, code=found.fault.name)

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
            if frame.source.topic == self._other_frames:
                self.progress.finish(ticket)  # the processor of the other lane has its own group and retries it
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

    def _keep_bounds(self) -> None:
        """Pause while the bounds are reached. The consumer is polled meanwhile, so that it stays in the group."""
        is_full = self._waiting.is_full()
        if is_full != self._consumer.is_paused:
            (self._consumer.pause if is_full else self._consumer.resume)()

    def _commit_soon(self) -> None:
        """Commit what is finished, without waiting; after a failure the next call tries again."""
        offsets = self._to_commit()
        if not offsets:
            return
        self._is_committing = True
        try:
            self._consumer.commit_soon(offsets)
        except KafkaFailure as error:
            self._is_committing = False
            metrics.COMMIT_FAILURES.labels(STAGE, error.fault.word).inc()
            log.warning("the offsets of the retry topic are not committed yet", error=str(error))

    def _commit_at_end(self) -> None:
        offsets = self._to_commit()
        failure = self._consumer.commit_within(offsets, Deadline(COMMIT_S)) if offsets else None
        if failure is not None:
            metrics.COMMIT_FAILURES.labels(STAGE, metrics.UNCONFIRMED).inc()
            log.warning("the offsets of the retry topic are not committed, their frames come again", error=failure)

    def _to_commit(self) -> dict[TopicPartition, int]:
        with self._lock:
            return self.progress.to_commit()

    def _on_commit(self, report: CommitReport) -> None:
        """The answer to `commit_soon`; called inside `poll`."""
        self._is_committing = False
        with self._lock:
            self.progress.committed(report.stored)
        if report.fault is not None:
            metrics.COMMIT_FAILURES.labels(STAGE, report.fault.word).inc()
            log.warning("the offsets of the retry topic are not committed yet", error=str(report.fault))

    # -- rebalances, reported by the client from within `poll` and `close`

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        with self._lock:
            self.progress.assign(partitions)
        self._first_commits.on_assign(partitions)

    def on_revoke(self, partitions: list[TopicPartition]) -> None:
        """The commit is sent before the request that gives the partitions up; waiting for it would have no limit."""
        if not self._closing.is_set():  # then `_commit_at_end` has done it
            self._commit_soon()
        self.on_lost(partitions)

    def on_lost(self, partitions: list[TopicPartition]) -> None:
        """Forget what was read of these partitions: the next owner reads it again. Frames in the stage are finished."""
        self._waiting.drop(partitions)
        self._first_commits.on_revoke(partitions)
        with self._lock:
            self.progress.revoke(partitions)


def _tell_gone(gone: Mapping[TopicPartition, list[range]]) -> None:
    for partition, ranges in gone.items():
        for offsets in ranges:
            metrics.RETRY_SKIPPED.inc(len(offsets))
            log.error(
                "retries are gone from their topic: their frames have no outcome",
                partition=str(partition),
                first=offsets[0],
                last=offsets[-1],
            )
