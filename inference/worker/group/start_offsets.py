"""Where partitions are read from when the client cannot tell: at the committed offset, never at a guess.

librdkafka (2.16) forgets, when the assignment changes while it asks for an offset that a dead worker's open transaction
still holds, that it has not been told one, and takes `auto.offset.reset`: a whole retention labelled once more, or with
`latest` passed over. So the worker's client may only say that it does not know (`auto.offset.reset=error`), and the
worker asks, until the transaction has ended.
"""

import threading
from collections.abc import Iterable
from typing import Any, Protocol

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, TopicPartition

from inference.device.work import TopicPartitionKey
from infra.process import logs
from infra.process.lifecycle import Start, in_thread
from schemas.errors import ConfigError, Stalled

log = logs.get(__name__)

AGAIN_S = 0.5
ANSWER_S = 10.0
EARLIEST, LATEST = ("earliest", "beginning", "smallest"), ("latest", "end", "largest")


class OffsetsClient(Protocol):
    """What is used of confluent_kafka.Consumer."""

    def committed(self, partitions: list[Any], timeout: float) -> list[Any]: ...
    def get_watermark_offsets(self, partition: Any, timeout: float) -> Any: ...


def first_offset(reset: str) -> int | None:
    """Where to begin by `auto.offset.reset` where nothing is committed; None for its `error`. Raises ConfigError."""
    if reset in EARLIEST:
        return OFFSET_BEGINNING
    if reset in LATEST:
        return OFFSET_END
    if reset == "error":
        return None
    raise ConfigError(f"kafka.consumer: auto.offset.reset is {reset!r}, it can be earliest, latest or error")


class Starts:
    """Partitions of ours that stand still for want of an offset. For the poll thread; the broker is asked in another.

    `first`: where to begin where nothing is committed, or where that is deleted.
    """

    def __init__(self, client: OffsetsClient, first: int | None, start: Start = in_thread) -> None:
        self._client, self._first, self._start_thread = client, first, start
        self._wanted: dict[TopicPartitionKey, object] = {}
        self._question: _Question | None = None
        self._next_s = 0.0

    def want(self, place: TopicPartitionKey) -> None:
        self._wanted[place] = object()

    def forget(self, places: Iterable[TopicPartitionKey]) -> None:
        """Taken away: an answer that is on its way counts no more, not even if they come back before it."""
        for place in places:
            self._wanted.pop(place, None)

    def found(self, now_s: float) -> list[TopicPartition]:
        """Those whose offset is known now, with it; the others are asked for again. Never waits.

        Raises Stalled where there is none and `first` is None.
        """
        positions = []
        if self._question is not None and self._question.ended.is_set():
            question, self._question = self._question, None
            if len(question.offsets) < len(question.wanted):
                self._next_s = now_s + AGAIN_S
            if question.error is not None:
                raise question.error
            current = [place for place in question.offsets if self._wanted.get(place) is question.wanted[place]]
            positions = [TopicPartition(*place, question.offsets[place]) for place in current]
            self.forget(current)
        if self._question is None and self._wanted and now_s >= self._next_s:
            self._question = _Question(self._client, dict(self._wanted), self._first)
            self._start_thread(self._question.ask)
        return positions


class _Question:
    """Asked once. `offsets` are of the partitions that there was an answer for."""

    def __init__(self, client: OffsetsClient, wanted: dict[TopicPartitionKey, object], first: int | None) -> None:
        self._client, self.wanted, self._first = client, wanted, first
        self.offsets: dict[TopicPartitionKey, int] = {}
        self.error: Stalled | None = None
        self.ended = threading.Event()

    def ask(self) -> None:
        try:
            for answer in self._client.committed([TopicPartition(*place) for place in self.wanted], timeout=ANSWER_S):
                offset = None if answer.error else self._offset(answer.topic, answer.partition, answer.offset)
                if offset is not None:
                    self.offsets[answer.topic, answer.partition] = offset
        except confluent_kafka.KafkaException as error:
            log.warning("committed offsets are not to be had yet", error=error.args[0].str())
        except RuntimeError as error:  # the consumer was closed meanwhile
            log.debug("committed offsets are not wanted any more", error=str(error))
        except Stalled as error:
            self.error = error
        finally:
            self.ended.set()

    def _offset(self, topic: str, partition: int, committed: int) -> int | None:
        """None while the broker does not say how far its log reaches."""
        if committed >= 0:
            reach = self._client.get_watermark_offsets(TopicPartition(topic, partition), ANSWER_S)
            if reach is None:
                return None
            if reach[0] <= committed <= reach[1]:
                return committed
            log.warning(
                "the committed offset is deleted", partition=f"{topic}/{partition}", offset=committed, log=reach
            )
        if self._first is None:
            raise Stalled(f"there is no offset to begin {topic}/{partition} at, and auto.offset.reset is error")
        return self._first
