"""Copies dead letters to `frames.retry` and marks them, a chunk at a time: copy, acknowledge, then mark."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import NoReturn

from infra.failures.dead_letters import DeadLetter, Place, parse
from infra.kafka.errors import KafkaFailure
from infra.kafka.publisher import Publisher
from infra.kafka.reader import Reader
from infra.kafka.sender import DeliveryReport, OutRecord, send_wait
from infra.kafka.spans import Span
from infra.kafka.topics import TopicNames
from infra.process.lifecycle import Deadline, Stop
from infra.settings import Settings
from ingest.publish.token_bucket import TokenBucket
from ingest.redrive.plan import mark_headers, retry_headers
from schemas.errors import SinkError

CHUNK_LETTERS = 100
CHUNK_S = 1.0
FLUSH_S = 30.0
ROOM_S = 30.0
# Of these, once asked to end, for everything together.
STOPPED_S = 5.0
TICK_S = 0.5


@dataclass(slots=True)
class Done:
    """`redriven`: copied and marked. `failed`: the broker did not take the copy or the mark; sent again next time.

    `stopped`: somebody asked for the end before all were read.
    """

    redriven: int = 0
    failed: int = 0
    stopped: bool = False
    errors: set[str] = field(default_factory=set)


def redrive(settings: Settings, reader: Reader, places: list[Place], rate_per_s: float, stop: Stop) -> Done:
    """Not faster than that; when stopped, or when the reader gives up, it ends behind the marks of what was copied."""
    names = TopicNames.for_lane(settings.topic_prefix)
    publisher = Publisher(settings)
    chunk = _Chunk(publisher, names, stop)
    bucket = TokenBucket(rate_per_s, time.monotonic())
    with ExitStack() as closing:
        closing.callback(publisher.close, 1.0)
        closing.callback(chunk.close)
        for record in reader.read(runs(names.dead, places), stop.is_set):
            letter = parse(record)
            if not isinstance(letter, DeadLetter):
                continue
            while (wait_s := bucket.wait_s(time.monotonic())) > 0 and not stop.is_set():
                chunk.settle_when_due()
                stop.wait(min(wait_s, CHUNK_S))
            if stop.is_set():
                break
            chunk.copy(letter)
            chunk.settle_when_due()
    chunk.done.stopped = stop.is_set()
    return chunk.done


class _Chunk:
    """Copies that are on their way; at most a second or a hundred of them are without their marks."""

    def __init__(self, publisher: Publisher, names: TopicNames, stop: Stop) -> None:
        self._publisher, self._names, self._stop = publisher, names, stop
        self._stopped: Deadline | None = None
        self._given_up = False
        self._copied: list[tuple[DeadLetter, int]] = []
        self._since_s = 0.0
        self._under_way = 0
        self.done = Done()

    def copy(self, letter: DeadLetter) -> None:
        if not self._under_way:
            self._since_s = time.monotonic()
        self._under_way += 1
        failure = letter.failure
        assert failure is not None, "letters without an origin are never planned"
        now_ms = int(time.time() * 1000)

        def delivered(report: DeliveryReport) -> None:
            if report.fault is None:
                self._copied.append((replace(letter, value=None), now_ms))  # its mark needs no value
            else:
                self._fail(str(report.fault))

        record = OutRecord(self._names.retry, letter.key, letter.value, retry_headers(letter, failure))
        self._send(replace(record, on_delivery=delivered))

    def settle_when_due(self) -> None:
        if self._under_way >= CHUNK_LETTERS or (self._under_way and time.monotonic() - self._since_s >= CHUNK_S):
            self.settle()

    def settle(self) -> None:
        """Wait for the copies, mark those that the broker has, and wait for the marks. Raises SinkError."""
        patience = Deadline(FLUSH_S)
        self._flush(patience)
        copied, self._copied, self._under_way = self._copied, [], 0
        for letter, at_ms in copied:
            self._mark(letter, at_ms)
        if left := self._flush(patience):
            self._give_up(f"Kafka has not acknowledged {left} records in time; they are sent again next time")

    def close(self) -> None:
        """The last of them, unless Kafka takes nothing any more."""
        if not self._given_up:
            self.settle()

    def _mark(self, letter: DeadLetter, at_ms: int) -> None:
        """Stamped with the time of the copy: a frame may die again before its mark is written, which is later."""

        def delivered(report: DeliveryReport) -> None:
            if report.fault is None:
                self.done.redriven += 1
            else:
                self._fail(str(report.fault))

        assert letter.failure is not None
        headers = mark_headers(letter, letter.failure)
        self._send(OutRecord(self._names.dead, letter.key, None, headers, letter.place[0], at_ms, delivered))

    def _send(self, record: OutRecord) -> None:
        deadline = Deadline(ROOM_S)
        try:
            if not send_wait(self._publisher, record, lambda: self._is_over(deadline)):
                self._give_up("Kafka takes no records: the producer's queue stays full")
        except KafkaFailure as refusal:
            self._fail(str(refusal))

    def _flush(self, patience: Deadline) -> int:
        """How many records are without an answer when that is over."""
        while (left := self._publisher.flush(TICK_S)) and not self._is_over(patience):
            pass
        return left

    def _is_over(self, patience: Deadline) -> bool:
        """Whether a wait has lasted as long as it may; once asked to end, all that is left may take STOPPED_S."""
        if self._stop.is_set() and self._stopped is None:
            self._stopped = Deadline(STOPPED_S)
        return patience.expired() or (self._stopped is not None and self._stopped.expired())

    def _give_up(self, why: str) -> NoReturn:
        self._given_up = True
        raise SinkError(why)

    def _fail(self, error: str) -> None:
        self.done.failed += 1
        self.done.errors.add(error)


def runs(topic: str, places: list[Place]) -> list[Span]:
    """Neighbouring letters as one range."""
    spans: list[Span] = []
    for partition, offset in sorted(places):
        last = spans[-1] if spans else None
        if last is not None and last.partition == partition and last.end == offset:
            spans[-1] = Span(topic, partition, last.start, offset + 1)
        else:
            spans.append(Span(topic, partition, offset, offset + 1))
    return spans
