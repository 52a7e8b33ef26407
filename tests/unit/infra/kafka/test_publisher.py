"""What the publisher says when it cannot go on; no broker is needed for that."""

import gc
import threading
import time
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from infra.failures.outcomes import RECORD_OVERHEAD_BYTES
from infra.kafka.clients import max_record_bytes, producer_config
from infra.kafka.errors import FaultKind, KafkaFailure
from infra.kafka.publisher import Publisher
from infra.kafka.sender import DeliveryReport, OutRecord, send_wait
from infra.kafka.start_checks import partitions_of, require_topics
from infra.process.lifecycle import Deadline
from infra.settings import load_settings
from schemas.errors import Unavailable

NOBODY = {"kafka": {"bootstrap_servers": "127.0.0.1:1", "start_timeout_ms": 200}}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_serves_no_reports_any_more_is_fatal() -> None:
    """Else nothing would ever be acknowledged, and only the watchdog would find out, a minute later."""

    def defect(_report: DeliveryReport) -> None:
        raise RuntimeError("a defect in a callback")

    publisher = Publisher(load_settings(NOBODY), **{"delivery.timeout.ms": 100, "linger.ms": 0})
    publisher.send(OutRecord("labels", None, b"x", on_delivery=defect))
    until_s = time.monotonic() + 10
    while publisher.fatal is None and time.monotonic() < until_s:
        time.sleep(0.01)
    assert publisher.fatal is not None
    assert "a defect in a callback" in publisher.fatal
    publisher.close(0.1)


def test_a_broker_that_goes_between_two_questions_is_one_sentence() -> None:
    settings = load_settings(NOBODY)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        require_topics(settings, reads=["labels"])
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        partitions_of(settings, "labels")


def test_one_request_in_flight_even_where_a_producer_of_a_transaction_asks_for_more_keys() -> None:
    """KAFKA-15591: with two, the first records of a new partition came late or not at all, once in some forty runs."""
    assert producer_config(load_settings(), **{"transactional.id": "t"})["max.in.flight.requests.per.connection"] == 1


@pytest.mark.parametrize("keys", [{}, {"message.max.bytes": 5_000}])
def test_it_tells_what_fits_into_a_record(keys: dict[str, int]) -> None:
    settings = load_settings({"kafka": {**NOBODY["kafka"], "producer": keys}})
    publisher = Publisher(settings)
    assert publisher.max_record_bytes == max_record_bytes(settings)
    with pytest.raises(KafkaFailure) as refusal:
        publisher.send(OutRecord("frames.dead", None, bytes(publisher.max_record_bytes)))
    assert refusal.value.fault.kind is FaultKind.TOO_LARGE
    assert publisher.queued_bytes() == 0
    publisher.send(OutRecord("frames.dead", None, bytes(publisher.max_record_bytes - RECORD_OVERHEAD_BYTES)))
    publisher.close(0.0)


def answer(offset: int | None) -> SimpleNamespace:
    return SimpleNamespace(topic=lambda: "t", offset=lambda: offset, partition=lambda: 0)


class WrittenAtTheSecondTry:
    """Reports success without an offset for the first call, with one for the next."""

    def __init__(self) -> None:
        self.offsets: list[int | None] = [None, 7]
        self.sent: list[bytes] = []

    def produce(self, topic: str, *, value: bytes, on_delivery: Any, **_: Any) -> None:
        self.sent.append(value)
        offset = self.offsets.pop(0)
        on_delivery(None, answer(offset))

    def poll(self, timeout: float) -> int:
        time.sleep(timeout)
        return 0

    def flush(self, timeout: float) -> int:
        return 0


def test_success_without_an_offset_is_no_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    client = WrittenAtTheSecondTry()
    monkeypatch.setattr("confluent_kafka.Producer", lambda _config: client)
    publisher = Publisher(load_settings())
    reports: list[DeliveryReport] = []
    publisher.send(OutRecord("t", "k", b"value", on_delivery=reports.append))
    assert client.sent == [b"value", b"value"]
    assert reports == [DeliveryReport("t", 0, 7)]
    assert publisher.queued_bytes() == 0
    publisher.close()


class Silent(WrittenAtTheSecondTry):
    """Reports when told."""

    def produce(self, topic: str, *, value: bytes, on_delivery: Any, **_: Any) -> None:
        self.report = on_delivery


def test_what_was_delivered_is_let_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Megabytes in a cycle wait for the collector, after an outage for minutes."""
    client = Silent()
    monkeypatch.setattr("confluent_kafka.Producer", lambda _config: client)
    publisher = Publisher(load_settings())

    def on_delivery(_report: DeliveryReport) -> None: ...

    held = weakref.ref(on_delivery)
    gc.disable()
    try:
        publisher.send(OutRecord("t", "k", b"value", on_delivery=on_delivery))
        client.report(None, answer(7))
        del client.report, on_delivery
        assert held() is None
    finally:
        gc.enable()
    publisher.close()


class Full(Silent):
    """Holds one record and is full until that is reported."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts = 0
        self.report: Any = None

    def produce(self, topic: str, *, on_delivery: Any, **_: Any) -> None:
        self.attempts += 1
        if self.report is not None:
            raise BufferError
        self.report = on_delivery


def test_a_client_that_is_full_is_waited_for_and_not_asked_in_a_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our bound in bytes has room: the client counts records as well."""
    client = Full()
    monkeypatch.setattr("confluent_kafka.Producer", lambda _config: client)
    publisher, deadline = Publisher(load_settings()), Deadline(0.6)
    publisher.send(OutRecord("t", "k", b"value"))
    assert not send_wait(publisher, OutRecord("t", "k", b"next"), deadline.expired)
    assert client.attempts <= 5
    taken = list[bool]()
    waiting = threading.Thread(target=lambda: taken.append(send_wait(publisher, OutRecord("t", "k", b"next"))))
    waiting.start()
    report, client.report = client.report, None
    report(None, answer(7))
    waiting.join(5)
    assert taken == [True]
    client.report(None, answer(8))
    publisher.close()
