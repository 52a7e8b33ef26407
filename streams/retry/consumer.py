"""The consumer of the retry topic: frames that failed with an error that may pass come back after their delay.

A thread reads `frames.retry` in a consumer group of its own, holds each frame until it is due, and hands it to the
stage as if it had just been read from its source topic. A waiting frame does not block frames of the source topic.
Offsets are committed up to the first frame that the stage has not finished.
"""

import threading
import time
from collections.abc import Callable

from infra.kafka.consumer import GroupConsumer, PartitionFault
from infra.kafka.errors import KafkaFailure, raise_if_final
from infra.kafka.groups import GroupProgress, Ticket
from infra.kafka.records import ConsumedRecord
from infra.kafka.topics import Lane, TopicNames, group
from infra.process import logs, metrics
from infra.settings import Settings
from schemas.coordinates import TopicPartition
from streams.retry.waiting import HeldFrame, WaitingFrames, due_ms, retried_frame
from streams.stage.frames import PendingFrame

log = logs.get(__name__)

POLL_S = 0.1
COMMIT_S = 1.0
# At most this many retried frames are in the stage at once, so that they do not displace other frames.
MAX_IN_STAGE = 32
CLIENT_KEYS = {"queued.max.messages.kbytes": 8 * 1024, "topic.metadata.refresh.interval.ms": 10_000}


class RetryConsumer:
    """Calls `take` for each frame that is due, while `may_take` allows it and few retried frames are in the stage.

    `take` and `may_take` are called in the thread of the consumer. The stage calls `finish` of a frame in its own
    thread. Any thread may read `finished`, the number of frames that the stage has finished.
    """

    def __init__(
        self,
        settings: Settings,
        lane: Lane,
        take: Callable[[PendingFrame], None],
        may_take: Callable[[], bool],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings.retry
        self._topic = TopicNames.for_lane(settings.topic_prefix, lane).retry
        self._other_frames = TopicNames.for_lane(settings.topic_prefix, "replay" if lane == "live" else "live").frames
        self._take, self._may_take, self._fail = take, may_take, fail
        self._waiting = WaitingFrames(settings.retry)
        self._lock = threading.Lock()  # around `_progress` and the counts, which the stage's thread changes as well
        self._progress: GroupProgress[None] = GroupProgress()
        self._in_stage = 0
        self.finished = 0
        self._consumer = GroupConsumer(settings, group("retry", settings.topic_prefix, lane), forced=CLIENT_KEYS)
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
                if time.monotonic() >= commit_at_s:
                    self._commit()
                    commit_at_s = time.monotonic() + COMMIT_S
            self._commit()
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
            ticket = self._progress.start(record.topic_partition, record.offset, None)
            if ticket is None:
                return
            if frame.source.topic == self._other_frames:
                self._progress.finish(ticket)  # the processor of the other lane has its own group and retries it
                return
        due = due_ms(self._settings, record.timestamp_ms, frame.attempt, time.time() * 1000)
        self._waiting.add(HeldFrame(due, record.partition, record.offset, ticket, frame))

    def _hand_over(self) -> None:
        while self._in_stage < MAX_IN_STAGE and self._may_take():
            held = self._waiting.take_due(time.time() * 1000)
            if held is None:
                break
            with self._lock:
                self._in_stage += 1
            self._take(PendingFrame(held.record, lambda ticket=held.ticket: self._on_finished(ticket)))  # type: ignore[misc]
        metrics.RETRY_HELD.set(len(self._waiting))

    def _on_finished(self, ticket: Ticket[None]) -> None:
        with self._lock:
            self._in_stage -= 1
            self.finished += 1
            self._progress.finish(ticket)

    def _keep_bounds(self) -> None:
        """Pause while the bounds are reached. The consumer is polled meanwhile, so that it stays in the group."""
        is_full = self._waiting.is_full()
        if is_full != self._consumer.is_paused:
            (self._consumer.pause if is_full else self._consumer.resume)()

    def _commit(self) -> None:
        """Commit what is finished; after a failure the next call tries again."""
        with self._lock:
            offsets = self._progress.to_commit()
        if not offsets:
            return
        try:
            self._consumer.commit(offsets)
        except KafkaFailure as error:
            log.warning("the offsets of the retry topic are not committed yet", error=str(error))
            return
        with self._lock:
            self._progress.committed(offsets)

    # -- rebalances, reported by the client from within `poll` and `close`

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        with self._lock:
            self._progress.assign(partitions)

    def on_revoke(self, partitions: list[TopicPartition]) -> None:
        self._commit()
        self.on_lost(partitions)

    def on_lost(self, partitions: list[TopicPartition]) -> None:
        """Forget what was read of these partitions: the next owner reads it again. Frames in the stage are finished."""
        self._waiting.drop(partitions)
        with self._lock:
            self._progress.revoke(partitions)
