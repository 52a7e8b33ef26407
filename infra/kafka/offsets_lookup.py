"""Asks the broker, without holding up the caller, for the offsets of partitions: committed by the group, and the log's.

A member asks where its client has no offset to start at. The answer can take a while: an open transaction of a dead
member holds its offsets, and a broker may be away.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

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
class PartitionOffsets:
    """What the broker knows of a partition: the group's committed offset, if any, and the start and end of the log."""

    committed: int | None
    first: int
    end: int


class OffsetsLookup:
    """Used by the thread that polls; another one waits for the answers."""

    def __init__(self, client: OffsetsClient, start: Start = in_thread) -> None:
        self._client, self._start_thread = client, start
        self._wanted: dict[TopicPartition, object] = {}
        self._query: _Query | None = None
        self._next_s = 0.0

    def want(self, partitions: Iterable[TopicPartition]) -> None:
        """The offsets of these partitions are needed: ask for them."""
        self._wanted.update((partition, object()) for partition in partitions)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Ignore the pending answer for these partitions, even if they are wanted again before it arrives."""
        for partition in partitions:
            self._wanted.pop(partition, None)

    def waits(self) -> bool:
        return bool(self._wanted)

    def found(self, now_s: float) -> dict[TopicPartition, PartitionOffsets]:
        """The answers that have arrived. Partitions without an answer are asked for again. Never waits.

        Raises what a defect in the asking thread raised.
        """
        answers: dict[TopicPartition, PartitionOffsets] = {}
        query = self._query
        if query is not None and query.ended.is_set():
            self._query = None
            if query.error is not None:
                raise query.error
            if len(query.answers) < len(query.wanted):
                self._next_s = now_s + AGAIN_S
            answers = {
                partition: offsets
                for partition, offsets in query.answers.items()
                if self._wanted.get(partition) is query.wanted[partition]
            }
            self.forget(list(answers))
        if self._query is None and self._wanted and now_s >= self._next_s:
            self._query = _Query(self._client, dict(self._wanted))
            self._start_thread(self._query.ask)
        return answers


class _Query:
    """One query to the broker. `answers` has the partitions for which an answer came."""

    def __init__(self, client: OffsetsClient, wanted: dict[TopicPartition, object]) -> None:
        self._client, self.wanted = client, wanted
        self.answers: dict[TopicPartition, PartitionOffsets] = {}
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def ask(self) -> None:
        try:
            for partition, committed in self._client.committed(self.wanted, ANSWER_S).items():
                log_range = self._client.log_range(partition, ANSWER_S)
                if log_range is not None:
                    self.answers[partition] = PartitionOffsets(None if committed < 0 else committed, *log_range)
        except KafkaFailure as error:
            log.warning("the broker does not return the start offsets yet", error=str(error))
        except RuntimeError as error:  # the consumer was closed during the query
            log.debug("the start offsets are not needed any more", error=str(error))
        except Exception as error:  # noqa: BLE001 - `found` raises it in the polling thread, which ends the process
            self.error = error
        finally:
            self.ended.set()
