"""What every `Sender` keeps: the real publisher (tests/kafka) and the one in memory (tests/unit) run the same tests."""

import pytest

from infra.kafka.errors import FaultKind, KafkaFailure
from infra.kafka.sender import DeliveryReport, FlushableSender, OutRecord, send_wait
from infra.settings import MIB
from schemas.errors import Busy

FLUSH_S = 30.0
# Of the senders under test: five records of 2 MiB fit into the queue, a sixth does not.
QUEUE_BYTES = 12 * MIB
PARTITIONS = 4


class SenderContract:
    """A subclass gives the fixtures `topic`, of four partitions, and `sender`, with a queue of QUEUE_BYTES.

    The sender sends nothing before a flush.
    """

    def test_each_record_gets_one_report_that_says_where_it_is(self, sender: FlushableSender, topic: str) -> None:
        reports: list[DeliveryReport] = []
        for number in range(3):
            sender.send(OutRecord(topic, "cam", b"value", partition=1, timestamp_ms=number, on_delivery=reports.append))
        assert sender.flush(FLUSH_S) == 0
        assert [(report.topic, report.partition, report.fault) for report in reports] == [(topic, 1, None)] * 3
        assert [report.offset for report in reports] == [0, 1, 2]
        assert sender.fatal is None

    def test_a_record_over_the_limit_is_refused_at_once_and_gets_no_report(
        self, sender: FlushableSender, topic: str
    ) -> None:
        reports: list[DeliveryReport] = []
        with pytest.raises(KafkaFailure) as refusal:
            sender.send(OutRecord(topic, "cam", bytes(sender.max_record_bytes + 1), on_delivery=reports.append))
        assert refusal.value.fault.kind is FaultKind.TOO_LARGE
        assert sender.flush(FLUSH_S) == 0
        assert reports == []

    def test_a_full_queue_is_busy_until_its_records_are_answered(self, sender: FlushableSender, topic: str) -> None:
        first, *others = (OutRecord(topic, "cam", bytes(2 * MIB), partition=n % PARTITIONS) for n in range(5))
        for record in (first, *others):
            sender.send(record)
        with pytest.raises(Busy):
            sender.send(first)
        assert not send_wait(sender, first, lambda: True)
        assert sender.flush(FLUSH_S) == 0
        assert sender.wait_for_room(first.size_bytes, FLUSH_S)
        assert send_wait(sender, first)
        assert sender.flush(FLUSH_S) == 0
