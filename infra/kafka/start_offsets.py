"""Finds the offset at which a partition is read when the client cannot: the committed one, and never a guess.

The committed offset is unknown while the open transaction of a dead worker holds it. When the assignment changes in
that time, librdkafka (2.16) falls back to `auto.offset.reset`: a whole retention is labelled once more. Therefore
the client may only report that it has no offset (`auto.offset.reset=error`), and the member asks until the transaction
has ended. Without a committed offset it starts at the first record: no setting skips records.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from infra.kafka.consumer import BEGINNING
from infra.kafka.errors import KafkaFailure
from infra.process import logs
from infra.process.lifecycle import Start, in_thread
from schemas.coordinates import TopicPartition

log = logs.get(__name__)

AGAIN_S = 0.5
ANSWER_S = 10.0


class OffsetsClient(Protocol):
    """The part of `infra.kafka.consumer.GroupConsumer` that is used here."""

    def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]: ...
    def log_range(self, partition: TopicPartition, timeout_s: float) -> tuple[int, int] | None: ...


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Reading starts at `offset`. `gone`: offsets before it that the log does not hold any more.

    The group has not read them, or, where it `may_have_read` them, nothing is committed that tells: Kafka forgets the
    offsets of a group that has been without a member for a week.
    """

    offset: int
    gone: range = range(0)
    may_have_read: bool = False


class StartOffsets:
    """Assigned partitions that wait for their first offset. For the poll thread; another thread asks the broker.

    A partition of which nothing is committed, or whose committed offset no longer exists, starts at its first record.
    """

    def __init__(self, client: OffsetsClient, start: Start = in_thread) -> None:
        self._client, self._start_thread = client, start
        self._wanted: dict[TopicPartition, object] = {}
        self._question: _Question | None = None
        self._next_s = 0.0

    def want(self, partition: TopicPartition) -> None:
        """Its offset is not known: ask for it."""
        self._wanted[partition] = object()

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """The partitions were revoked: a pending answer is ignored, even if they are assigned again before it comes."""
        for partition in partitions:
            self._wanted.pop(partition, None)

    def found(self, now_s: float) -> dict[TopicPartition, StartPoint]:
        """Where to start, as far as that is known now; the others are asked for again. Never waits."""
        points: dict[TopicPartition, StartPoint] = {}
        if self._question is not None and self._question.ended.is_set():
            question, self._question = self._question, None
            if len(question.points) < len(question.wanted):
                self._next_s = now_s + AGAIN_S
            points = {
                partition: point
                for partition, point in question.points.items()
                if self._wanted.get(partition) is question.wanted[partition]
            }
            self.forget(list(points))
        if self._question is None and self._wanted and now_s >= self._next_s:
            self._question = _Question(self._client, dict(self._wanted))
            self._start_thread(self._question.ask)
        return points


class _Question:
    """One request. `points` has the partitions that the broker gave an answer for."""

    def __init__(self, client: OffsetsClient, wanted: dict[TopicPartition, object]) -> None:
        self._client, self.wanted = client, wanted
        self.points: dict[TopicPartition, StartPoint] = {}
        self.ended = threading.Event()

    def ask(self) -> None:
        try:
            for partition, committed in self._client.committed(self.wanted, ANSWER_S).items():
                point = self._point(partition, committed)
                if point is not None:
                    self.points[partition] = point
        except KafkaFailure as error:
            log.warning("the broker does not tell the committed offsets yet", error=str(error))
        except RuntimeError as error:  # the consumer was closed meanwhile
            log.debug("the consumer was closed while it was asked for committed offsets", error=str(error))
        finally:
            self.ended.set()

    def _point(self, partition: TopicPartition, committed: int) -> StartPoint | None:
        """None while the broker does not tell the range of its log."""
        log_range = self._client.log_range(partition, ANSWER_S)
        if log_range is None:
            return None
        first, end = log_range
        if committed < 0:
            return StartPoint(first, range(first), may_have_read=True)
        if committed < first:
            return StartPoint(first, range(committed, first))
        if committed <= end:
            return StartPoint(committed)
        log.warning(
            "the committed offset lies behind the end of the log: everything that is there is read",
            partition=str(partition),
            committed=committed,
            end=end,
        )
        return StartPoint(BEGINNING)
