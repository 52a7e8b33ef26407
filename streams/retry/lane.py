"""The retry lane: frames that failed for a passing reason come back after their delay, without holding live ones.

A thread reads `frames.retry` with a group of its own, holds each frame until its time, and hands it to the stage as if
it had just been read from its origin. Its offsets move as an unbroken prefix of what the stage has finished.
"""

import heapq
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import confluent_kafka
from confluent_kafka import KafkaException, TopicPartition

from infra.failures.outcomes import FrameRecord
from infra.kafka import clients
from infra.kafka.errors import is_fatal
from infra.kafka.offsets import CompletedPrefix
from infra.kafka.records import consumed_record
from infra.kafka.topics import Lane, TopicNames, group
from infra.process import logs, metrics
from infra.settings import RetrySettings, Settings
from schemas import headers
from schemas.errors import Stalled
from streams.stage.frames import Taken, held_bytes

log = logs.get(__name__)

POLL_S = 0.1
COMMIT_S = 1.0
# At most so many retried frames are in the stage at once: they go between the live ones, not before them.
MAX_IN_STAGE = 32


@dataclass(order=True, slots=True)
class Held:
    """A frame that waits for its time; `partition` and `offset` are those of its record on the retry lane."""

    due_ms: float
    partition: int
    offset: int
    generation: int = field(compare=False)
    record: FrameRecord = field(compare=False)

    @property
    def size(self) -> int:
        return held_bytes(self.record)


class Waiting:
    """Frames by the time they are due, bounded in count and bytes. Pure."""

    def __init__(self, settings: RetrySettings) -> None:
        self._settings = settings
        self._heap: list[Held] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, held: Held) -> None:
        heapq.heappush(self._heap, held)
        self._bytes += held.size

    def take_due(self, now_ms: float) -> Held | None:
        """The frame that has waited longest past its time; None while all must wait."""
        if not self._heap or self._heap[0].due_ms > now_ms:
            return None
        held = heapq.heappop(self._heap)
        self._bytes -= held.size
        return held

    def is_full(self) -> bool:
        return len(self._heap) >= self._settings.max_held_frames or self._bytes >= self._settings.max_held_bytes

    def drop(self, partitions: Collection[int]) -> None:
        """Forget what was read of these partitions of the lane."""
        self._heap = [held for held in self._heap if held.partition not in partitions]
        heapq.heapify(self._heap)
        self._bytes = sum(held.size for held in self._heap)


def due_ms(settings: RetrySettings, timestamp_ms: int, attempt: int, now_ms: float) -> float:
    """When a frame that has failed `attempt` times and was written at `timestamp_ms` is tried again.

    A time to come is that of a clock that goes wrong: it counts as now.
    """
    tier = min(max(attempt, 1), len(settings.delays_ms)) - 1
    return min(timestamp_ms, now_ms) + settings.delays_ms[tier]


def frame_of(message: confluent_kafka.Message) -> FrameRecord:
    """The frame with its origin's coordinates; a record without any was put there by hand and is its own origin."""
    record = consumed_record(message)
    failure = headers.read_failure(record.headers)
    source, timestamp_ms = record.coordinates, record.timestamp_ms
    if failure is not None:
        source, timestamp_ms = failure.source, failure.timestamp_ms
    attempt = headers.attempt_of(record.headers)
    return FrameRecord(source, timestamp_ms, record.key, record.value, record.headers, attempt)


class RetryLane:
    """Calls `take` (from its thread) for each frame that is due, while `may_take` says so and few are in the stage.

    `finished` counts those that the stage was done with, for a look from any thread.
    """

    def __init__(
        self,
        settings: Settings,
        lane: Lane,
        take: Callable[[Taken], None],
        may_take: Callable[[], bool],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._settings, self._lane = settings, lane
        self._topic = TopicNames.for_lane(settings.topic_prefix, lane).retry
        self._other_frames = TopicNames.for_lane(settings.topic_prefix, "replay" if lane == "live" else "live").frames
        self._take, self._may_take, self._fail = take, may_take, fail
        self._waiting = Waiting(settings.retry)
        self._lock = threading.Lock()
        self._prefix = CompletedPrefix()
        self._generations = Counter[int]()
        self._in_stage = 0
        self.finished = 0
        self._committed: dict[int, int] = {}
        self._paused = False
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
            consumer = clients.consumer(
                self._settings,
                group("retry", self._settings.topic_prefix, self._lane),
                **{"queued.max.messages.kbytes": 8 * 1024, "topic.metadata.refresh.interval.ms": 10_000},
            )
            consumer.subscribe([self._topic], on_assign=_ignore, on_revoke=self._on_gone, on_lost=self._on_gone)
            commit_at_s = 0.0
            while not self._closing.is_set():
                self._poll(consumer)
                self._hand_over()
                self._keep_bounds(consumer)
                if time.monotonic() >= commit_at_s:
                    self._commit(consumer)
                    commit_at_s = time.monotonic() + COMMIT_S
            self._commit(consumer)
            consumer.close()
        except Exception as error:  # noqa: BLE001 - frames would wait here for ever and nobody would know
            self._fail(error)

    def _poll(self, consumer: confluent_kafka.Consumer) -> None:
        message = consumer.poll(POLL_S)
        while message is not None:
            error = message.error()
            if error is not None and is_fatal(error):
                raise Stalled(f"the retry lane's consumer ended: {error.str()}")
            if error is None:
                self._hold(message)
            if self._waiting.is_full():
                return
            message = consumer.poll(0)

    def _hold(self, message: confluent_kafka.Message) -> None:
        partition, offset = int(message.partition() or 0), int(message.offset() or 0)
        record = frame_of(message)
        with self._lock:
            self._prefix.start(self._topic, partition, offset)
            if record.source.topic == self._other_frames:
                self._prefix.done(self._topic, partition, offset)  # the other lane's processor has a group of its own
                return
        written_ms = int(message.timestamp()[1])
        due = due_ms(self._settings.retry, written_ms, record.attempt, time.time() * 1000)
        self._waiting.add(Held(due, partition, offset, self._generations[partition], record))

    def _hand_over(self) -> None:
        while self._in_stage < MAX_IN_STAGE and self._may_take():
            held = self._waiting.take_due(time.time() * 1000)
            if held is None:
                break
            with self._lock:
                self._in_stage += 1
            self._take(Taken(held.record, lambda held=held: self._finished(held)))  # type: ignore[misc]
        metrics.RETRY_HELD.set(len(self._waiting))

    def _finished(self, held: Held) -> None:
        with self._lock:
            self._in_stage -= 1
            self.finished += 1
            if held.generation == self._generations[held.partition]:
                self._prefix.done(self._topic, held.partition, held.offset)

    def _keep_bounds(self, consumer: confluent_kafka.Consumer) -> None:
        """A full lane is paused, but goes on polling: otherwise the group would put it out."""
        is_full = self._waiting.is_full()
        if is_full or self._paused:  # again and again: partitions that came meanwhile are not paused
            (consumer.pause if is_full else consumer.resume)(consumer.assignment())
        self._paused = is_full

    def _commit(self, consumer: confluent_kafka.Consumer) -> None:
        with self._lock:
            moved = {partition: offset for (_, partition), offset in self._prefix.committable().items()}
        changed = {one: offset for one, offset in moved.items() if self._committed.get(one) != offset}
        if not changed:
            return
        try:
            consumer.commit(
                offsets=[TopicPartition(self._topic, one, offset) for one, offset in changed.items()],
                asynchronous=False,
            )
            self._committed.update(changed)
        except KafkaException as error:
            log.warning("the retry lane could not commit; it will again", error=str(error))

    def _on_gone(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        """What is here of them is read again by whoever gets them; what is under way is not waited for."""
        self._commit(consumer)
        gone = {one.partition for one in partitions}
        self._waiting.drop(gone)
        with self._lock:
            for partition in gone:
                self._generations[partition] += 1
                self._prefix.forget(self._topic, partition)
                self._committed.pop(partition, None)
        if self._paused:
            consumer.resume(partitions)  # the client would remember it until they come back


def _ignore(_consumer: confluent_kafka.Consumer, _partitions: list[TopicPartition]) -> None:
    """Partitions start unpaused at their committed offsets, the client assigns them itself: nothing to do."""
