"""A transaction whose last record tells where the others lie."""

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.kafka.sender import DeliveryReport, OutRecord
from infra.kafka.transaction import Transaction


class Message:
    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self._place = topic, partition, offset

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._place[2]


class Producer:
    """Reports each record at the next poll; `fail` is the report of the record with that number."""

    def __init__(
        self, fail: int | None = None, commit: KafkaError | None = None, code: int = KafkaError._MSG_TIMED_OUT
    ) -> None:
        self._fail, self._commit_fault, self._code = fail, commit, code
        self._waiting: list[Any] = []
        self.open: list[tuple[str, Any]] | None = None
        self.committed: list[tuple[str, Any]] = []
        self.offsets_sent = False

    def init_transactions(self, timeout: float) -> None: ...

    def begin_transaction(self) -> None:
        self.open = []

    def produce(self, topic: str, value: Any, key: Any, *, on_delivery: Any, partition: int, **_: Any) -> None:
        assert self.open is not None
        if on_delivery is not None:
            self._waiting.append((on_delivery, Message(topic, partition, 100 + len(self.open)), len(self.open)))
        self.open.append((topic, value))

    def poll(self, timeout: float) -> int:
        waiting, self._waiting = self._waiting, []
        for on_delivery, message, number in waiting:
            on_delivery(KafkaError(self._code) if number == self._fail else None, message)
        return len(waiting)

    def send_offsets_to_transaction(self, positions: list[Any], group_metadata: Any, timeout: float) -> None:
        self.offsets_sent = True

    def commit_transaction(self, timeout: float) -> None:
        if self._commit_fault is not None:
            raise KafkaException(self._commit_fault)
        assert self.open is not None
        self.committed, self.open = self.open, None

    def abort_transaction(self, timeout: float) -> None:
        self.open = None


def closing(reports: Sequence[DeliveryReport]) -> OutRecord:
    return OutRecord("progress", "again", repr(sorted(report.offset for report in reports)).encode())


RECORDS = [OutRecord("lane", b"dock-1", b"a", partition=1), OutRecord("lane", b"dock-1", b"b", partition=2)]


def run(producer: Producer, records: Sequence[OutRecord] = RECORDS, *, give_up: bool = False) -> Transaction:
    transaction = Transaction(producer, records, {}, None, lambda: give_up, closing=closing)
    transaction.run()
    assert transaction.ended.is_set()
    return transaction


def test_the_last_record_knows_the_offsets_of_the_others_and_no_group_is_touched() -> None:
    producer = Producer()
    transaction = run(producer)
    assert (transaction.is_aborted, transaction.error) == (False, None)
    assert producer.committed == [("lane", b"a"), ("lane", b"b"), ("progress", b"[100, 101]")]
    assert not producer.offsets_sent


def test_without_other_records_it_is_alone() -> None:
    producer = Producer()
    run(producer, [])
    assert producer.committed == [("progress", b"[]")]


@pytest.mark.parametrize("fail", [0, 1])
def test_a_record_that_was_not_written_aborts_all(fail: int) -> None:
    producer = Producer(fail)
    assert run(producer).is_aborted
    assert (producer.committed, producer.open) == ([], None)


@pytest.mark.parametrize(
    ("code", "is_refused"),
    [
        (KafkaError._MSG_TIMED_OUT, False),
        (KafkaError.MSG_SIZE_TOO_LARGE, True),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, True),
    ],
)
def test_it_tells_whether_the_same_records_can_be_written_later(code: int, is_refused: bool) -> None:
    transaction = run(Producer(1, code=code))
    assert transaction.is_aborted
    assert (transaction.refused is not None) is is_refused


def test_whoever_gives_up_while_records_wait_aborts() -> None:
    assert run(Producer(), give_up=True).is_aborted


def test_a_fenced_copier_ends() -> None:
    transaction = run(Producer(commit=KafkaError(KafkaError._FENCED, "fenced", fatal=True)))
    assert not transaction.is_aborted
    assert transaction.error is not None
