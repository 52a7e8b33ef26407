"""One Kafka transaction from begin to commit or abort, and the reaction to each error of librdkafka."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Protocol

import confluent_kafka
from confluent_kafka import KafkaError

from infra.kafka.clients import Keys, new_client, producer_config
from infra.kafka.conversions import commits_of
from infra.kafka.errors import FaultKind, KafkaFault, fault_of
from infra.kafka.key_values import given_keys
from infra.kafka.sender import DeliveryReport, OnDelivery, OutRecord, delivery_report
from infra.kafka.topic_ids import TopicIds
from infra.process import logs
from infra.process.lifecycle import Deadline, Stop
from infra.settings import Settings
from schemas.coordinates import TopicPartition
from schemas.errors import Stalled, Unavailable

log = logs.get(__name__)

# The time-out of one call; a call is repeated as long as its error is retriable.
CALL_S = 1.0
PAUSE_S = 0.05


class Verdict(Enum):
    AGAIN = auto()
    ABORT = auto()
    END = auto()


def verdict_on(error: KafkaError) -> Verdict:
    """What the transactional API of librdkafka demands: the same call again, an abort, or a new producer."""
    if error.fatal():
        return Verdict.END
    if error.txn_requires_abort():
        return Verdict.ABORT
    return Verdict.AGAIN if error.retriable() else Verdict.END


class TransactionalProducer(Protocol):
    """The methods of confluent_kafka.Producer that a transaction uses."""

    def init_transactions(self, timeout: float) -> None: ...
    def begin_transaction(self) -> None: ...
    def produce(
        self, topic: str, value: Any, key: Any, *, headers: Any, partition: int, timestamp: int, on_delivery: Any
    ) -> None: ...
    def poll(self, timeout: float) -> int: ...
    def send_offsets_to_transaction(self, positions: list[Any], group_metadata: Any, timeout: float) -> None: ...
    def commit_transaction(self, timeout: float) -> None: ...
    def abort_transaction(self, timeout: float) -> None: ...


# What the client calls with an error or None, and the message.
ClientCallback = Callable[[KafkaError | None, Any], None]


class _Aborted(Exception):
    pass


class Transaction:
    """`run` it once, in any thread. Afterwards either it is committed, or one of `is_aborted` and `error` is set.

    With `error` the process must end: only the broker knows then whether the transaction was committed. Before `run`
    the caller's list of records may grow; `send_new` sends what is there by then, so that `run` has less to wait for.
    """

    def __init__(
        self,
        producer: TransactionalProducer,
        records: Sequence[OutRecord],
        offsets: Mapping[TopicPartition, int],
        group_metadata: Any,
        give_up: Callable[[], bool],
        topic_ids: TopicIds | None = None,
        closing: Callable[[Sequence[DeliveryReport]], OutRecord] | None = None,
    ) -> None:
        """`topic_ids` are written with the offsets, as `GroupConsumer` does in its commits.

        `closing` makes the last record of the transaction, from the reports of all others: it can tell where they lie.
        Without a group (`group_metadata` None) no offsets are written.
        """
        self._producer, self._records, self.offsets = producer, records, offsets
        self._closing = closing
        self._reports: list[DeliveryReport] = []
        self._sent, self._is_open, self._is_lost = 0, False, False
        # One callback for all records. They need one only where `closing` wants to know where they lie.
        self._on_report = None if closing is None else _callback(self._reports.append)
        self._topic_ids = topic_ids or {}
        self._group_metadata, self.give_up = group_metadata, give_up
        self.is_aborted = False
        # Why the broker never takes these records; None where the same transaction may succeed later.
        self.refused: KafkaFault | None = None
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def send_new(self) -> None:
        """Send the records that are new in the list, from the thread that lets it grow.

        Raises Stalled when no transaction can be begun. What else fails shows when `run` has ended.
        """
        try:
            self._send()
            self._producer.poll(0)
        except confluent_kafka.KafkaException as error:
            raise _end("begin a transaction", error.args[0]) from error
        except _Aborted:
            self._is_lost = True

    def abandon(self) -> None:
        """Abort it instead of `run`. Raises Stalled when the broker does not answer in time after `give_up`."""
        if self._is_open:
            self._abort()

    def run(self) -> None:
        try:
            self.is_aborted = not self._write()
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits for the end
            self.error = error
        finally:
            self.ended.set()

    def _write(self) -> bool:
        try:
            self._send()
            if self._closing is not None:
                self._produce(self._closing(self._await_reports()))
            if self._group_metadata is not None:
                self._send_offsets(commits_of(self.offsets, self._topic_ids))
            self._commit()
        except confluent_kafka.KafkaException as error:  # begin_transaction: nothing was opened
            raise _end("begin a transaction", error.args[0]) from error
        except _Aborted:
            self._abort()
            return False
        return True

    def _send(self) -> None:
        if self._is_lost:
            raise _Aborted
        if not self._is_open:
            self._producer.begin_transaction()
            self._is_open = True
        while self._sent < len(self._records):
            record = self._records[self._sent]
            self._produce(record, self._on_report or _callback(record.on_delivery))
            self._sent += 1

    def _produce(self, record: OutRecord, on_report: ClientCallback | None = None) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    headers=list(record.headers),
                    partition=record.partition,
                    timestamp=record.timestamp_ms,
                    on_delivery=on_report,
                )
                return
            except BufferError:
                self._producer.poll(PAUSE_S)
                if self.give_up():
                    raise _Aborted from None
            except confluent_kafka.KafkaException as error:
                # A failed transaction accepts no record; the abort tells the cause.
                log.warning("a record was refused", topic=record.topic, error=error.args[0].str())
                self._note(fault_of(error.args[0]))
                raise _Aborted from error

    def _await_reports(self) -> Sequence[DeliveryReport]:
        while len(self._reports) < len(self._records):
            self._producer.poll(PAUSE_S)
            if self.give_up():
                raise _Aborted
        faults = [report.fault for report in self._reports if report.fault is not None]
        if not faults:
            return self._reports
        for fault in faults:
            self._note(fault)
        log.warning("transaction aborted", call="produce", error=str(self.refused or faults[0]))
        raise _Aborted

    def _note(self, fault: KafkaFault) -> None:
        if fault.kind in (FaultKind.TOO_LARGE, FaultKind.FORBIDDEN):
            self.refused = fault

    def _send_offsets(self, positions: list[Any]) -> None:
        while True:
            try:
                self._producer.send_offsets_to_transaction(positions, self._group_metadata, CALL_S)
                return
            except confluent_kafka.KafkaException as error:
                verdict = verdict_on(error.args[0])
                if verdict is Verdict.END:
                    raise _end("send offsets to a transaction", error.args[0]) from error
                if verdict is Verdict.ABORT or self.give_up():
                    log.warning("transaction aborted", call="send offsets", error=error.args[0].str())
                    raise _Aborted from error
                time.sleep(PAUSE_S)

    def _commit(self) -> None:
        try:
            self._settle("commit a transaction", self._producer.commit_transaction)
        except confluent_kafka.KafkaException as error:
            log.warning("transaction aborted", call="commit", error=error.args[0].str())
            raise _Aborted from error

    def _abort(self) -> None:
        try:
            self._settle("abort a transaction", self._producer.abort_transaction)
        except confluent_kafka.KafkaException as error:
            raise _end("abort a transaction", error.args[0]) from error

    def _settle(self, what: str, call: Callable[[float], None]) -> None:
        """Repeats the commit or abort until the broker answers: without an answer nobody knows whether it happened.

        That lasts as long as the broker is away. An error that demands an abort is raised to the caller.
        """
        deadline: Deadline | None = None
        while True:
            try:
                call(CALL_S)
                return
            except confluent_kafka.KafkaException as error:
                verdict = verdict_on(error.args[0])
                if verdict is Verdict.ABORT:
                    raise
                if self.give_up() and deadline is None:
                    deadline = Deadline(2 * CALL_S)
                if verdict is Verdict.END or (deadline is not None and deadline.expired()):
                    raise _end(what, error.args[0]) from error
                time.sleep(PAUSE_S)


def transactional_producer(settings: Settings, keys: Keys, tables: str) -> TransactionalProducer:
    """Raises ConfigError, naming `tables`, for keys that the client does not take; the user's own overrule `keys`."""
    config = {**producer_config(settings, **keys), **given_keys(settings.kafka.client, settings.kafka.producer)}
    made: TransactionalProducer = new_client(confluent_kafka.Producer, config, tables)
    return made


def init_transactions(producer: TransactionalProducer, address: str, stop: Stop, timeout_s: float) -> None:
    """Fences an earlier process with the same transactional id and waits until its transaction has ended."""
    deadline = Deadline(timeout_s)
    while True:
        try:
            producer.init_transactions(CALL_S)
            return
        except confluent_kafka.KafkaException as error:
            retriable = verdict_on(error.args[0]) is Verdict.AGAIN
            if not retriable or deadline.expired() or stop.is_set():
                hint = f"transactions cannot be started: {error.args[0].str()}"
                raise Unavailable("Kafka", address, hint) from error


def _callback(on_delivery: OnDelivery | None) -> ClientCallback | None:
    return None if on_delivery is None else lambda error, message: on_delivery(delivery_report(error, message))


def _end(what: str, error: KafkaError) -> Stalled:
    return Stalled(f"could not {what}: {error.str()}; ending, the broker ends the open transaction")
