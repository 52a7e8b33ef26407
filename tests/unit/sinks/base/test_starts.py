"""Where a sink begins: a table of what the broker and the sink know."""

from collections.abc import Iterable

import pytest

from infra.kafka.consumer import BEGINNING, END
from infra.kafka.errors import FaultKind, KafkaFailure, KafkaFault
from schemas.coordinates import TopicPartition
from schemas.errors import Stalled
from sinks.base.starts import BEYOND_END_S, Beginning, Beginnings, LogFacts, beginning_of

ONE, TWO = TopicPartition("labels", 0), TopicPartition("labels", 1)


@pytest.mark.parametrize(
    ("facts", "stored", "reset", "expected"),
    [
        (LogFacts(None, 0, 50), None, BEGINNING, Beginning(0, 0)),
        (LogFacts(None, 7, 50), None, BEGINNING, Beginning(7, 7)),
        (LogFacts(None, 0, 50), None, END, Beginning(50, 40)),
        (LogFacts(30, 0, 50), None, END, Beginning(30, 20)),
        (LogFacts(30, 25, 50), None, BEGINNING, Beginning(30, 25)),
        # Ahead of the group after a crash between flush and commit; behind where others had the partition.
        (LogFacts(30, 0, 50), 33, BEGINNING, Beginning(33, 23)),
        (LogFacts(30, 0, 50), 3, BEGINNING, Beginning(30, 20)),
        (LogFacts(None, 0, 50), 33, END, Beginning(33, 23)),
        # Retention was faster than the sink.
        (LogFacts(3, 20, 50), None, BEGINNING, Beginning(20, 20, range(3, 20))),
        (LogFacts(3, 50, 50), 5, BEGINNING, Beginning(50, 50, range(5, 50))),
        # The broker lost its last records.
        (LogFacts(60, 0, 50), None, BEGINNING, Beginning(50, 40, range(50, 60))),
        (LogFacts(50, 0, 50), 70, BEGINNING, Beginning(50, 40, range(50, 70))),
    ],
)
def test_the_later_known_position_within_the_log(
    facts: LogFacts, stored: int | None, reset: int, expected: Beginning
) -> None:
    assert beginning_of(facts, stored, reset, window_offsets=10) == expected


def test_reset_error_ends_the_sink_where_nothing_is_known() -> None:
    with pytest.raises(Stalled, match="no committed offset"):
        beginning_of(LogFacts(None, 0, 5), None, None, 10)
    assert beginning_of(LogFacts(2, 0, 5), None, None, 10).position == 2


class Broker:
    def __init__(self) -> None:
        self.offsets = {ONE: 5, TWO: -1001}
        self.end: int | None = 20
        self.is_away = False
        self.asked = 0

    def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]:
        self.asked += 1
        if self.is_away:
            raise KafkaFailure(KafkaFault(FaultKind.PASSING, "_TRANSPORT", "away"))
        return {one: self.offsets[one] for one in partitions}

    def log_range(self, partition: TopicPartition, timeout_s: float) -> tuple[int, int] | None:
        return None if self.end is None else (0, self.end)


def beginnings_of(broker: Broker) -> Beginnings:
    return Beginnings(broker, BEGINNING, 10, start=lambda run: run())


def test_the_broker_is_asked_until_it_answers() -> None:
    broker = Broker()
    beginnings = beginnings_of(broker)
    beginnings.want([ONE, TWO])
    broker.is_away = True
    assert [beginnings.ready(now_s) for now_s in (0.0, 0.0, 0.1, 0.2)] == [[]] * 4
    assert broker.asked == 1, "not in a row"
    broker.is_away, broker.end = False, None
    assert [beginnings.ready(now_s) for now_s in (1.0, 1.1)] == [[]] * 2
    broker.end = 20
    assert beginnings.ready(2.0) == []
    assert sorted(beginnings.ready(2.1)) == [ONE, TWO]
    found = beginnings.take({TWO: 4}, 2.1)
    assert {one: beginning.position for one, (_, beginning) in found.items()} == {ONE: 5, TWO: 4}
    assert not beginnings.waits()


def test_an_answer_for_a_partition_that_was_taken_away_counts_no_more() -> None:
    broker = Broker()
    beginnings = beginnings_of(broker)
    beginnings.want([ONE, TWO])
    beginnings.ready(0.0)
    beginnings.forget([ONE])
    beginnings.want([ONE])
    assert beginnings.ready(0.1) == [TWO]
    beginnings.forget([TWO])
    assert beginnings.take({}, 0.1) == {}
    assert beginnings.ready(0.2) == [ONE]


def test_a_position_beyond_the_end_is_believed_only_after_a_while() -> None:
    broker = Broker()
    broker.end = 3
    beginnings = beginnings_of(broker)
    beginnings.want([ONE])
    seen = []
    for now_s in range(int(BEYOND_END_S) + 3):
        beginnings.ready(float(now_s))
        seen += [beginning.skipped for _, beginning in beginnings.take({}, float(now_s)).values()]
    assert seen == [range(3, 5)]
    broker.end = 20
    beginnings.want([ONE])
    beginnings.ready(100.0)
    beginnings.ready(101.0)
    assert beginnings.take({}, 101.0)[ONE][1].position == 5


def test_a_defect_in_the_asking_thread_is_raised_in_the_loop() -> None:
    class Broken(Broker):
        def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]:
            raise ZeroDivisionError

    beginnings = beginnings_of(Broken())
    beginnings.want([ONE])
    beginnings.ready(0.0)
    with pytest.raises(ZeroDivisionError):
        beginnings.ready(0.1)
