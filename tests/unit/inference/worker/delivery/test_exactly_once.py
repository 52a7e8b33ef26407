"""Exactly once: every call of the transactional producer is made to fail in turn, and every label is there once."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from inference.device.work import Work
from inference.worker.delivery.exactly_once import ExactlyOnce
from inference.worker.group.work_in_flight import WorkInFlight
from infra.kafka.sender import OutRecord
from infra.kafka.transaction import Verdict, verdict_on
from infra.process.lifecycle import Deadline, Stop
from schemas.coordinates import TopicPartition
from schemas.errors import Stalled
from tests.support.batches import batch_record

PARTITIONS = [TopicPartition("batches", 0), TopicPartition("batches", 1)]
PER_PARTITION = 6


def error(code: int = KafkaError._TIMED_OUT, **flags: bool) -> KafkaError:
    return KafkaError(code, "on purpose", **flags)


RETRIABLE = error(retriable=True)
ABORTABLE = error(KafkaError.UNKNOWN_MEMBER_ID, txn_requires_abort=True)
FATAL = error(KafkaError._FENCED, fatal=True)
NO_FLAG = error(KafkaError._STATE)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(RETRIABLE, Verdict.AGAIN), (ABORTABLE, Verdict.ABORT), (FATAL, Verdict.END), (NO_FLAG, Verdict.END)],
)
def test_what_is_done_about_an_error(given: KafkaError, expected: Verdict) -> None:
    assert verdict_on(given) is expected


class Broker:
    """What a read_committed reader sees, and what the group has committed."""

    def __init__(self) -> None:
        self.labels: list[tuple[str, bytes]] = []
        self.offsets: dict[TopicPartition, int] = {}


class Producer:
    """Fails its Nth call; `after` says whether the call had its effect all the same."""

    def __init__(self, broker: Broker, fail_at: int, fault: KafkaError | type[BufferError], after: bool) -> None:
        self.broker, self.fault, self.after = broker, fault, after
        self.calls_left = fail_at
        self.open: tuple[list[tuple[str, bytes]], dict[TopicPartition, int]] | None = None
        self.must_abort = self.is_fatal = self.did_fail = False

    def init_transactions(self, timeout: float) -> None:
        """Each worker of these tests begins with a producer of its own."""

    def begin_transaction(self) -> None:
        assert self.open is None
        self._call("begin", lambda: setattr(self, "open", ([], {})))

    def produce(self, topic: str, value: Any, key: Any, *, headers: Any, on_delivery: Any, **_: Any) -> None:
        def effect() -> None:
            assert self.open is not None
            self.open[0].append((topic, value))

        self._call("produce", effect)

    def poll(self, timeout: float) -> int:
        return 0

    def send_offsets_to_transaction(self, positions: list[Any], group_metadata: Any, timeout: float) -> None:
        assert group_metadata == "fresh"

        def effect() -> None:
            assert self.open is not None
            self.open[1].update({TopicPartition(place.topic, place.partition): place.offset for place in positions})

        self._call("offsets", effect)

    def commit_transaction(self, timeout: float) -> None:
        def effect() -> None:
            if self.open is not None:  # asked again for one that went through
                self.broker.labels += self.open[0]
                self.broker.offsets.update(self.open[1])
                self.open = None

        self._call("commit", effect)

    def abort_transaction(self, timeout: float) -> None:
        def effect() -> None:
            self.open, self.must_abort = None, False

        self._call("abort", effect, may_abort=False)

    def _call(self, name: str, effect: Callable[[], None], may_abort: bool = True) -> None:
        if self.is_fatal:
            raise KafkaException(FATAL)
        if self.must_abort and may_abort:
            raise KafkaException(ABORTABLE if name != "produce" else NO_FLAG)
        self.calls_left -= 1
        if self.calls_left != 0:
            effect()
            return
        self.did_fail = True
        if isinstance(self.fault, type):
            if name == "produce":
                raise self.fault
            effect()
            return
        if self.fault.txn_requires_abort():
            self.must_abort = True
        elif not self.fault.retriable():
            self.is_fatal = True
        if self.after:
            effect()
        raise KafkaException(self.fault)


class Worker:
    """The poll thread's side in small: reads a few batches, releases them, commits; begins anew when it must end."""

    def __init__(self, broker: Broker, producer: Producer) -> None:
        self.in_flight, self.stop = WorkInFlight(), Stop()
        self.in_flight.assign(PARTITIONS)
        self.position = {place: broker.offsets.get(place, 0) for place in PARTITIONS}
        self.delivered: list[Work] = []
        self.delivery = ExactlyOnce(
            producer,
            lambda: "fresh",
            self.in_flight,
            self.delivered.append,
            lambda: self.position.update(self.in_flight.rewind()),
            self.stop,
            transaction_ms=0,
            start=lambda run: run(),
        )
        self.now_s = 0.0

    def read(self, place: TopicPartition, offset: int) -> Work:
        generation = self.in_flight.generation(place)
        assert generation is not None
        work = Work(batch_record(place, offset), generation)
        self.in_flight.start_work(work)
        return work

    def turn(self) -> bool:
        """False once everything was read and committed."""
        for place in PARTITIONS:
            offset = self.position[place]
            if offset < PER_PARTITION:
                self.position[place] = offset + 1
                self.delivery.release(self.read(place, offset), records(place.partition, offset))
        for _ in range(2):  # begun, and concluded
            self.now_s += 100
            self.delivery.tick(self.now_s)
        return self.in_flight.has_uncommitted or any(end < PER_PARTITION for end in self.position.values())


def records(partition: int, offset: int) -> list[OutRecord]:
    return [OutRecord("labels", None, f"{partition}/{offset}/{part}".encode(), []) for part in "ab"]


EVERYTHING = sorted(
    ("labels", f"{partition}/{offset}/{part}".encode())
    for partition in (0, 1)
    for offset in range(PER_PARTITION)
    for part in "ab"
)


@pytest.mark.parametrize(
    ("fault", "after"),
    [
        pytest.param(RETRIABLE, False, id="retriable"),
        pytest.param(ABORTABLE, False, id="abortable"),
        pytest.param(FATAL, False, id="fatal"),
        pytest.param(FATAL, True, id="fatal, yet done"),
        pytest.param(NO_FLAG, False, id="unknown"),
        pytest.param(NO_FLAG, True, id="unknown, yet done"),
        pytest.param(BufferError, False, id="queue full"),
    ],
)
def test_whichever_call_fails_every_label_is_there_once(fault: Any, after: bool) -> None:
    for fail_at in itertools.count(1):
        broker = Broker()
        producer = Producer(broker, fail_at, fault, after)
        worker, restarts = Worker(broker, producer), 0
        while True:
            try:
                if not worker.turn():
                    break
            except Stalled:
                restarts += 1
                assert restarts < 3
                worker = Worker(broker, Producer(broker, 0, FATAL, False))
        assert sorted(broker.labels) == EVERYTHING, f"failing call {fail_at}"
        assert broker.offsets == dict.fromkeys(PARTITIONS, PER_PARTITION)
        if not producer.did_fail:
            assert fail_at > 20
            return


class LateProducer(Producer):
    """Its Nth commit happens, and answers too late to be heard."""

    def _call(self, name: str, effect: Callable[[], None], may_abort: bool = True) -> None:
        effect()
        self.calls_left -= name == "commit"
        if name == "commit" and self.calls_left == 0:
            raise KafkaException(RETRIABLE)


@pytest.mark.parametrize("fail_at", range(1, PER_PARTITION + 1))
def test_a_commit_that_answers_too_late_is_asked_for_again_and_happens_once(fail_at: int) -> None:
    broker = Broker()
    worker = Worker(broker, LateProducer(broker, fail_at, RETRIABLE, after=True))
    while worker.turn():
        pass
    assert sorted(broker.labels) == EVERYTHING


def test_after_its_end_nothing_more_is_written() -> None:
    """A call fails for good, just once: what is ready at the close must not overtake what was taken before."""
    broker = Broker()
    producer = Producer(broker, 1, NO_FLAG, after=False)
    worker = Worker(broker, producer)
    with pytest.raises(Stalled, match="could not begin a transaction"):
        worker.turn()
    producer.is_fatal = False
    work = worker.read(PARTITIONS[0], 1)
    worker.delivery.release(work, records(0, 1))
    worker.delivery.finish([work], Deadline(0.01))
    worker.delivery.close(Deadline(1.0))
    assert broker.labels == []
    assert broker.offsets == {}


@pytest.mark.parametrize("fault", [None, ABORTABLE])
def test_where_reading_begins_is_committed_in_a_transaction_of_its_own(fault: KafkaError | None) -> None:
    """Nothing is ready. A commit beside the transactions could come behind the next one, and take it back."""
    broker = Broker()
    worker = Worker(broker, Producer(broker, 2 if fault else 0, fault or FATAL, after=False))
    worker.in_flight.set_beginning(PARTITIONS[1], 0)
    for now_s in range(100, 1000, 100):
        worker.delivery.tick(now_s)
    assert (broker.offsets, broker.labels) == ({PARTITIONS[1]: 0}, [])
    assert not worker.in_flight.has_uncommitted


def test_lost_work_is_not_written() -> None:
    broker = Broker()
    worker = Worker(broker, Producer(broker, 0, FATAL, False))
    work = worker.read(PARTITIONS[0], 0)
    worker.delivery.release(work, records(0, 0))
    worker.in_flight.revoke([PARTITIONS[0]])
    worker.delivery.tick(1.0)
    worker.delivery.tick(2.0)
    assert broker.labels == []
    assert broker.offsets == {}
    assert worker.delivered == []


def test_a_revocation_ends_the_transaction_before_it_returns() -> None:
    broker = Broker()
    worker = Worker(broker, Producer(broker, 0, FATAL, False))
    done, late = worker.read(PARTITIONS[0], 0), worker.read(PARTITIONS[0], 1)
    worker.delivery.release(done, records(0, 0))
    worker.delivery.finish([done, late], Deadline(0.05))
    assert broker.offsets == {PARTITIONS[0]: 1}
    assert [value for _, value in broker.labels] == [b"0/0/a", b"0/0/b"]


def test_a_commit_without_an_answer_ends_the_process_at_a_revocation() -> None:
    broker = Broker()
    producer = Producer(broker, 0, FATAL, False)

    def never(timeout: float) -> None:
        raise KafkaException(RETRIABLE)

    producer.commit_transaction = never  # type: ignore[method-assign]
    worker = Worker(broker, producer)
    work = worker.read(PARTITIONS[0], 0)
    worker.delivery.release(work, records(0, 0))
    with pytest.raises(Stalled, match="could not commit a transaction"):
        worker.delivery.finish([work], Deadline(0.01))
