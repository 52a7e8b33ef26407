"""Copies frames to `frames.retry` and marks dead letters on `frames.dead`, in chunks: copy, acknowledge, mark."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NoReturn

from infra.failures.dead_letters import DeadLetter, Place, parse
from infra.kafka.errors import KafkaFailure
from infra.kafka.reader import Reader
from infra.kafka.sender import DeliveryReport, FlushableSender, OutRecord, send_wait
from infra.kafka.spans import Span
from infra.kafka.topics import TopicNames
from infra.process.lifecycle import Deadline, Stop, StopBudget
from ingest.publish.token_bucket import TokenBucket
from ingest.redrive.plan import mark_headers, retry_headers
from schemas.errors import SinkError

CHUNK_COPIES = 100
CHUNK_S = 1.0
FLUSH_S = 30.0
ROOM_S = 30.0
# From the stop to the end, for everything that is then still to do.
STOP_S = 5.0
FLUSH_TICK_S = 0.5


@dataclass(slots=True)
class RedriveResult:
    """`redriven` were copied, and dead letters marked. `failed`: the broker refused the copy or the mark; the next run
    tries again. `stopped`: the process was asked to stop before all were read.
    """

    redriven: int = 0
    failed: int = 0
    stopped: bool = False
    errors: set[str] = field(default_factory=set)


def redrive(
    sender: FlushableSender, reader: Reader, names: TopicNames, places: list[Place], rate_per_s: float, stop: Stop
) -> RedriveResult:
    """Send the dead letters at `places` again, at most `rate_per_s` a second.

    When it is stopped, or when the reader raises, every copy that the broker has is marked before it ends.
    """

    def copies() -> Iterator[Copy]:
        for record in reader.read(runs(names.dead, places), stop.is_set):
            letter = parse(record)
            if isinstance(letter, DeadLetter):
                yield copy_of(names, letter)

    return send_copies(sender, copies(), rate_per_s, stop)


@dataclass(frozen=True, slots=True)
class Copy:
    """A record for the retry topic, and the mark that is written once the broker has it."""

    record: OutRecord
    mark: OutRecord | None = None


def copy_of(names: TopicNames, letter: DeadLetter) -> Copy:
    failure = letter.failure
    assert failure is not None, "the plan leaves out dead letters whose frame is not known"
    mark = OutRecord(names.dead, letter.key, None, mark_headers(letter, failure), letter.place[0])
    return Copy(OutRecord(names.retry, letter.key, letter.value, retry_headers(letter, failure)), mark)


def send_copies(sender: FlushableSender, copies: Iterable[Copy], rate_per_s: float, stop: Stop) -> RedriveResult:
    """Send at most `rate_per_s` a second, until `stop`. What the broker has is marked before this ends or raises."""
    chunk = _Chunk(sender, stop)
    bucket = TokenBucket(rate_per_s, time.monotonic())
    with chunk:
        for copy in copies:
            while (wait_s := bucket.wait_s(time.monotonic())) > 0 and not stop.is_set():
                chunk.settle_when_due()
                stop.wait(min(wait_s, CHUNK_S))
            if stop.is_set():
                break
            chunk.copy(copy)
            chunk.settle_when_due()
    chunk.result.stopped = stop.is_set()
    return chunk.result


class _Chunk:
    """The copies that have no marks yet: of one second and CHUNK_COPIES at most.

    As a context manager it settles the last of them at the end, unless Kafka takes nothing any more.
    """

    def __init__(self, sender: FlushableSender, stop: Stop) -> None:
        self._sender = sender
        self._budget = StopBudget(stop, STOP_S)
        self._given_up = False
        self._marks: list[OutRecord] = []  # of copies that the broker has
        self._begun_s = 0.0
        self._sent = 0
        self.result = RedriveResult()

    def __enter__(self) -> "_Chunk":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._given_up:
            self.settle()

    def copy(self, copy: Copy) -> None:
        """Send a copy to the retry topic.

        Its mark has the time of the copy: a frame that fails again before the mark is written fails later than that.
        """
        if not self._sent:
            self._begun_s = time.monotonic()
        self._sent += 1
        mark = None if copy.mark is None else replace(copy.mark, timestamp_ms=int(time.time() * 1000))

        def on_delivery(report: DeliveryReport) -> None:
            if mark is None or report.fault is not None:
                self._count(report)
            else:
                self._marks.append(mark)

        self._send(replace(copy.record, on_delivery=on_delivery))

    def settle_when_due(self) -> None:
        if self._sent >= CHUNK_COPIES or (self._sent and time.monotonic() - self._begun_s >= CHUNK_S):
            self.settle()

    def settle(self) -> None:
        """Wait for the copies, mark those that the broker has, and wait for the marks. Raises SinkError."""
        patience = Deadline(FLUSH_S)
        self._flush(patience)
        marks, self._marks, self._sent = self._marks, [], 0
        for mark in marks:
            self._send(replace(mark, on_delivery=self._count))
        if left := self._flush(patience):
            self._give_up(f"Kafka has not acknowledged {left} records in time; the next run sends them again")

    def _count(self, report: DeliveryReport) -> None:
        if report.fault is None:
            self.result.redriven += 1
        else:
            self._count_failed(str(report.fault))

    def _send(self, record: OutRecord) -> None:
        deadline = Deadline(ROOM_S)
        try:
            if not send_wait(self._sender, record, lambda: self._is_over(deadline)):
                self._give_up("Kafka takes no records: the producer's queue stays full")
        except KafkaFailure as refusal:
            self._count_failed(str(refusal))

    def _flush(self, patience: Deadline) -> int:
        """Wait for the delivery reports; how many records are without one when the time is over."""
        while (left := self._sender.flush(FLUSH_TICK_S)) and not self._is_over(patience):
            pass
        return left

    def _is_over(self, patience: Deadline) -> bool:
        return patience.expired() or self._budget.expired()

    def _give_up(self, why: str) -> NoReturn:
        self._given_up = True
        raise SinkError(why)

    def _count_failed(self, error: str) -> None:
        self.result.failed += 1
        self.result.errors.add(error)


def runs(topic: str, places: list[Place]) -> list[Span]:
    """Ranges of the topic that hold exactly these places: neighbouring dead letters are read in one go."""
    spans: list[Span] = []
    for partition, offset in sorted(places):
        last = spans[-1] if spans else None
        if last is not None and last.partition == partition and last.end == offset:
            spans[-1] = Span(topic, partition, last.start, offset + 1)
        else:
            spans.append(Span(topic, partition, offset, offset + 1))
    return spans
