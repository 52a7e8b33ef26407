"""At least once: an offset moves when every record of its batch was acknowledged, and not before."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from inference.device.work import Work
from inference.worker.delivery.at_least_once import AtLeastOnce
from inference.worker.group.work_in_flight import WorkInFlight
from infra.kafka.consumer import CommitReport
from infra.kafka.errors import FaultKind, KafkaFault
from infra.kafka.sender import DeliveryReport, OutRecord
from infra.process.lifecycle import Deadline, Stop
from schemas.coordinates import TopicPartition
from schemas.errors import Busy, Stalled
from tests.support.batches import batch_record

PARTITION = TopicPartition("batches", 0)
TIMED_OUT = KafkaFault(FaultKind.PASSING, "_MSG_TIMED_OUT", "Local: Message timed out")
REBALANCING = KafkaFault(FaultKind.OTHER, "REBALANCE_IN_PROGRESS", "Broker: Group rebalance in progress")


class Publisher:
    """Acknowledges when told."""

    max_record_bytes = 1_000_000

    def __init__(self) -> None:
        self.reports: list[Callable[[KafkaFault | None], None]] = []
        self.fatal: str | None = None
        self.refusals = 0

    def send(self, record: OutRecord) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Busy(0.01)

        def report(fault: KafkaFault | None) -> None:
            assert record.on_delivery is not None
            record.on_delivery(DeliveryReport(record.topic, 0, 0, fault))

        self.reports.append(report)

    def wait_for_room(self, size_bytes: int, timeout_s: float) -> bool:
        return True

    def close(self, timeout_s: float) -> int:
        return 0

    def deliver(self, fault: KafkaFault | None = None) -> None:
        while self.reports:
            self.reports.pop()(fault)


class Consumer:
    """Stores what it is told; `commit_soon` is answered by the test, through `commit_reports`."""

    def __init__(self) -> None:
        self.commits: list[dict[TopicPartition, int]] = []

    def commit_soon(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.commits.append(dict(offsets))

    def commit_within(self, offsets: Mapping[TopicPartition, int], deadline: Deadline) -> str | None:
        self.commits.append(dict(offsets))
        return None


class Rig:
    def __init__(self) -> None:
        self.publisher, self.consumer, self.in_flight, self.stop = Publisher(), Consumer(), WorkInFlight(), Stop()
        self.commit_reports = deque[CommitReport]()
        self.delivered: list[Work] = []
        self.use(self.delivered.append)
        self.in_flight.assign([PARTITION])

    def use(self, after_delivery: Callable[[Work], None]) -> None:
        self.delivery = AtLeastOnce(
            cast(Any, self.publisher),
            cast(Any, self.consumer),
            self.commit_reports,
            self.in_flight,
            after_delivery,
            self.stop,
            commit_interval_ms=100,
        )

    def release(self, offset: int, records: int = 2) -> Work:
        generation = self.in_flight.generation(PARTITION)
        assert generation is not None
        work = Work(batch_record(PARTITION, offset), generation)
        self.in_flight.start_work(work)
        self.delivery.release(work, [OutRecord("labels", b"k", b"v", []) for _ in range(records)])
        return work


def test_offsets_move_behind_the_last_delivery_report() -> None:
    rig = Rig()
    rig.release(0)
    rig.release(1)
    rig.delivery.tick(1.0)
    assert rig.consumer.commits == []
    rig.publisher.reports.pop(0)(None)  # half of the first
    rig.publisher.reports.pop()(None)
    rig.publisher.reports.pop()(None)  # all of the second
    rig.delivery.tick(2.0)
    assert rig.consumer.commits == []
    rig.publisher.deliver()
    rig.delivery.tick(3.0)
    assert rig.consumer.commits == [{PARTITION: 2}]
    assert len(rig.delivered) == 2


def test_a_batch_without_records_is_finished_too() -> None:
    rig = Rig()
    rig.release(0, records=0)
    rig.delivery.tick(1.0)
    assert rig.consumer.commits == [{PARTITION: 1}]


def test_one_commit_at_a_time_and_not_more_often_than_the_interval() -> None:
    rig = Rig()
    for offset, now_s in enumerate([1.0, 1.05, 1.2, 1.4]):
        rig.release(offset)
        rig.publisher.deliver()
        rig.delivery.tick(now_s)
    assert rig.consumer.commits == [{PARTITION: 1}]  # still without an answer
    rig.commit_reports.append(CommitReport({PARTITION: 1}))
    rig.delivery.tick(1.5)
    assert rig.consumer.commits == [{PARTITION: 1}, {PARTITION: 4}]


def test_a_refused_commit_is_made_again() -> None:
    rig = Rig()
    rig.release(0)
    rig.publisher.deliver()
    rig.delivery.tick(1.0)
    rig.commit_reports.append(CommitReport({}, REBALANCING))
    rig.delivery.tick(2.0)
    assert rig.consumer.commits == [{PARTITION: 1}, {PARTITION: 1}]


def test_an_undelivered_label_ends_the_worker_and_nothing_is_committed_past_it() -> None:
    rig = Rig()
    rig.release(0)
    rig.release(1)
    rig.publisher.reports.pop(0)(TIMED_OUT)
    rig.publisher.deliver()
    rig.delivery.tick(1.0)
    assert rig.consumer.commits == []
    assert rig.stop.is_set()
    with pytest.raises(Stalled, match="did not take a record for labels"):
        rig.stop.raise_error()


def test_a_full_producer_is_waited_for() -> None:
    rig = Rig()
    rig.publisher.refusals = 3
    rig.release(0)
    assert len(rig.publisher.reports) == 2


def test_a_revocation_commits_what_is_done_in_time_and_no_more() -> None:
    rig = Rig()
    first = rig.release(0)
    rig.publisher.deliver()
    second = rig.release(1)
    rig.delivery.finish([first, second], Deadline(0.05))
    assert rig.consumer.commits == [{PARTITION: 1}]


def test_a_fatal_producer_ends_the_worker() -> None:
    rig = Rig()
    rig.publisher.fatal = "fenced"
    with pytest.raises(Stalled, match="fenced"):
        rig.delivery.tick(1.0)


def test_a_breaker_that_opens_ends_the_worker_behind_a_commit_of_all_that_was_delivered() -> None:
    rig = Rig()

    def after_delivery(work: Work) -> None:
        if work.record.offset == 1:
            raise Stalled("too many bad frames")

    rig.use(after_delivery)
    for offset in range(3):
        rig.release(offset)
    rig.publisher.deliver()
    with pytest.raises(Stalled):
        rig.delivery.tick(1.0)
    rig.delivery.close(Deadline(1.0))
    assert rig.consumer.commits == [{PARTITION: 3}]


def test_a_breaker_that_opens_while_partitions_are_given_up_does_not_hinder_their_commit() -> None:
    rig = Rig()

    def after_delivery(work: Work) -> None:
        raise Stalled("too many bad frames")

    rig.use(after_delivery)
    works = [rig.release(offset) for offset in range(2)]
    rig.publisher.deliver()
    with pytest.raises(Stalled):
        rig.delivery.finish(works, Deadline(1.0))
    assert rig.consumer.commits == [{PARTITION: 2}]


def test_what_is_finished_during_the_stop_is_still_sent() -> None:
    rig = Rig()
    rig.stop.set()
    rig.release(0)
    rig.publisher.deliver()
    rig.delivery.close(Deadline(1.0))
    assert rig.consumer.commits == [{PARTITION: 1}]


def test_a_full_producer_holds_up_no_stop() -> None:
    rig = Rig()
    rig.stop.set()
    rig.publisher.refusals = 1
    rig.release(0)
    rig.publisher.deliver()
    rig.delivery.close(Deadline(1.0))
    assert rig.consumer.commits == []


def test_each_commit_that_fails_is_counted() -> None:
    def failures(reason: str) -> float:
        labels = {"stage": "infer", "reason": reason}
        return REGISTRY.get_sample_value("sightline_commit_failures_total", labels) or 0.0

    rig, before = Rig(), failures("passing")
    rig.commit_reports.append(CommitReport({}, KafkaFault(FaultKind.PASSING, "_TRANSPORT", "no broker")))
    rig.delivery.tick(1.0)
    assert failures("passing") - before == 1
    rig.commit_reports.append(CommitReport({PARTITION: 1}))
    rig.delivery.tick(2.0)
    assert failures("passing") - before == 1
