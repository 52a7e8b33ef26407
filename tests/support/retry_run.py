"""A retry consumer over a client and a stage that follow the script of a test."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from infra.kafka.consumer import CommitReport, PartitionFault, Rebalance
from infra.kafka.errors import FaultKind, KafkaFailure, KafkaFault
from infra.kafka.records import ConsumedRecord
from infra.process.lifecycle import Deadline
from infra.settings import RetrySettings, Settings
from infra.settings.streams import StreamSettings
from schemas.coordinates import Coordinates, TopicPartition
from schemas.headers import RawHeaders
from streams.retry.consumer import RetryConsumer
from streams.stage.frames import PendingFrame

P0, P1 = (TopicPartition("frames.retry", number) for number in range(2))


class FakeConsumer:
    """Follows its script, one step for each poll: a record or fault that it returns, or something that happens.

    A commit is answered by the next poll while `answers`, as the client does, which answers none inside a rebalance.
    """

    def __init__(self, partitions: list[TopicPartition]) -> None:
        self.owned = partitions
        self.on_commit: Callable[[CommitReport], None]
        self.asked: list[dict[TopicPartition, int]] = []
        self.answers, self.log_start = True, 0
        self.offsets = dict.fromkeys(partitions, 0)
        self.script: deque[ConsumedRecord | PartitionFault | Callable[[], None] | None] = deque()
        self.commits: list[tuple[TopicPartition, int]] = []
        self.refused: list[KafkaFault] = []
        self.is_paused = False

    def subscribe(self, topics: list[str], rebalance: Rebalance) -> None:
        self.rebalance = rebalance
        rebalance.on_assign(self.owned)

    def poll(self, timeout_s: float) -> ConsumedRecord | PartitionFault | None:
        if self.asked and self.answers:
            self._answer(self.asked.pop(0))
        step = self.script.popleft() if self.script else None
        if not callable(step):
            return step
        step()
        return None

    def revoke(self, partition: TopicPartition) -> None:
        self.rebalance.on_revoke([partition])

    def lose(self, partition: TopicPartition) -> None:
        self.rebalance.on_lost([partition])

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def commit_soon(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self.refused and self.refused[-1].kind is FaultKind.OTHER:
            raise KafkaFailure(self.refused.pop())
        self.asked.append(dict(offsets))

    def commit_within(self, offsets: Mapping[TopicPartition, int], deadline: Deadline) -> str | None:
        self.commits += offsets.items()
        return None

    def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]:
        return {one: self.offsets[one] for one in partitions}

    def log_range(self, partition: TopicPartition, timeout_s: float) -> tuple[int, int]:
        return (self.log_start, 100)

    def _answer(self, offsets: dict[TopicPartition, int]) -> None:
        if self.refused:
            self.on_commit(CommitReport({}, self.refused.pop()))
        else:
            self.commits += offsets.items()
            self.on_commit(CommitReport(offsets))

    def close(self) -> None:
        pass


def record(partition: int, offset: int, age_s: float, found: RawHeaders = ()) -> ConsumedRecord:
    written_ms = int((time.time() - age_s) * 1000)
    return ConsumedRecord("frames.retry", partition, offset, written_ms, b"cam", b"frame", found)


class FakeInputs:
    """The stage: `take` is called with each frame, and what it does with deferred ones is written down."""

    is_open = True

    def __init__(self, take: Callable[[PendingFrame], None]) -> None:
        self.take = take
        self.deferred: list[PendingFrame] = []
        self.sent_back: list[Coordinates] = []

    def take_deferred(self, pending: PendingFrame) -> None:
        self.deferred.append(pending)

    def defer_again(self, origin: Coordinates) -> None:
        self.sent_back.append(origin)


class Run:
    """What a retry consumer did until its script was over: the frames that it gave, the errors that it ended with."""

    def __init__(self, consumer: FakeConsumer, max_held_frames: int = 10, finish: bool = True) -> None:
        """`finish`: the stage finishes each frame at once."""
        self._consumer, self._finish = consumer, finish
        self._over = threading.Event()
        self.taken: list[PendingFrame] = []
        self.errors: list[BaseException] = []
        retry = RetrySettings(delays_ms=(60_000,), max_held_frames=max_held_frames)
        self.stage = FakeInputs(self._take)
        self._retry = RetryConsumer(
            Settings(retry=retry, stream=StreamSettings(max_frames_ahead=8)), "live", self.stage, self._fail
        )

    def until_over(self) -> "Run":
        self._consumer.script.append(self._over.set)
        self._retry.start()
        assert self._over.wait(5)
        self._retry.close(5)
        return self

    def finish_first(self) -> None:
        self.taken[0].finish()

    def finish_deferred(self) -> None:
        self.stage.deferred[0].finish()

    def offsets(self) -> list[int]:
        return [pending.record.source.offset for pending in self.taken]

    def _take(self, pending: PendingFrame) -> None:
        self.taken.append(pending)
        if self._finish:
            pending.finish()

    def _fail(self, error: BaseException) -> None:
        self.errors.append(error)
        self._over.set()
