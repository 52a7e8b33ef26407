"""Finds the offset at which a partition is read when the client cannot: the committed one, and never a guess.

The committed offset is unknown while the open transaction of a dead worker holds it. When the assignment changes in
that time, librdkafka (2.16) falls back to `auto.offset.reset`: a whole retention is labelled once more. Therefore
the client may only report that it has no offset (`auto.offset.reset=error`), and the member asks until the transaction
has ended. Without a committed offset it starts at the first record: no setting skips records.
"""

import threading
from collections.abc import Iterable
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


class StartOffsets:
    """Assigned partitions that wait for their first offset. For the poll thread; another thread asks the broker.

    A partition of which nothing is committed, or whose committed offset no longer exists, starts at its beginning.
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

    def found(self, now_s: float) -> dict[TopicPartition, int]:
        """The start offsets that are known now; the others are asked for again. Never waits."""
        positions: dict[TopicPartition, int] = {}
        if self._question is not None and self._question.ended.is_set():
            question, self._question = self._question, None
            if len(question.offsets) < len(question.wanted):
                self._next_s = now_s + AGAIN_S
            positions = {
                partition: offset
                for partition, offset in question.offsets.items()
                if self._wanted.get(partition) is question.wanted[partition]
            }
            self.forget(list(positions))
        if self._question is None and self._wanted and now_s >= self._next_s:
            self._question = _Question(self._client, dict(self._wanted))
            self._start_thread(self._question.ask)
        return positions


class _Question:
    """One request. `offsets` has the partitions that the broker gave an answer for."""

    def __init__(self, client: OffsetsClient, wanted: dict[TopicPartition, object]) -> None:
        self._client, self.wanted = client, wanted
        self.offsets: dict[TopicPartition, int] = {}
        self.ended = threading.Event()

    def ask(self) -> None:
        try:
            for partition, committed in self._client.committed(self.wanted, ANSWER_S).items():
                offset = self._offset(partition, committed)
                if offset is not None:
                    self.offsets[partition] = offset
        except KafkaFailure as error:
            log.warning("the broker does not tell the committed offsets yet", error=str(error))
        except RuntimeError as error:  # the consumer was closed meanwhile
            log.debug("the consumer was closed while it was asked for committed offsets", error=str(error))
        finally:
            self.ended.set()

    def _offset(self, partition: TopicPartition, committed: int) -> int | None:
        """None while the broker does not tell the range of its log."""
        if committed >= 0:
            reach = self._client.log_range(partition, ANSWER_S)
            if reach is None:
                return None
            if reach[0] <= committed <= reach[1]:
                return committed
            log.warning("the committed offset is deleted", partition=str(partition), offset=committed, log=reach)
        return BEGINNING
