"""Where a sink starts to read, for each combination of what the broker and the sink know."""

from collections.abc import Iterable

import pytest

from infra.kafka.errors import FaultKind, KafkaFailure, KafkaFault
from infra.kafka.offsets_lookup import PartitionOffsets
from schemas.coordinates import TopicPartition
from sinks.base.start_positions import BEYOND_END_S, StartPosition, StartPositions, start_position_of

ONE, TWO = TopicPartition("labels", 0), TopicPartition("labels", 1)


@pytest.mark.parametrize(
    ("facts", "stored", "expected"),
    [
        (PartitionOffsets(None, 0, 50), None, StartPosition(0, 0)),
        (PartitionOffsets(None, 7, 50), None, StartPosition(7, 7)),
        (PartitionOffsets(30, 25, 50), None, StartPosition(30, 25)),
        # The sink is ahead of the group after a crash between flush and commit, and behind if others had the partition.
        (PartitionOffsets(30, 0, 50), 33, StartPosition(33, 23)),
        (PartitionOffsets(30, 0, 50), 3, StartPosition(30, 20)),
        (PartitionOffsets(None, 0, 50), 33, StartPosition(33, 23)),
        # Retention removed labels before the sink had read them.
        (PartitionOffsets(3, 20, 50), None, StartPosition(20, 20, range(3, 20))),
        (PartitionOffsets(3, 50, 50), 5, StartPosition(50, 50, range(5, 50))),
        # The broker lost its last records.
        (PartitionOffsets(60, 0, 50), None, StartPosition(50, 40, range(50, 60))),
        (PartitionOffsets(50, 0, 50), 70, StartPosition(50, 40, range(50, 70))),
    ],
)
def test_the_later_known_position_within_the_log(
    facts: PartitionOffsets, stored: int | None, expected: StartPosition
) -> None:
    assert start_position_of(facts, stored, window_offsets=10) == expected


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


def start_positions_of(broker: Broker) -> StartPositions:
    return StartPositions(broker, 10, start=lambda run: run())


def test_the_broker_is_asked_until_it_answers() -> None:
    broker = Broker()
    starts = start_positions_of(broker)
    starts.want([ONE, TWO])
    broker.is_away = True
    assert [starts.ready(now_s) for now_s in (0.0, 0.0, 0.1, 0.2)] == [[]] * 4
    assert broker.asked == 1, "not in a row"
    broker.is_away, broker.end = False, None
    assert [starts.ready(now_s) for now_s in (1.0, 1.1)] == [[]] * 2
    broker.end = 20
    assert starts.ready(2.0) == []
    assert sorted(starts.ready(2.1)) == [ONE, TWO]
    found = starts.take({TWO: 4}, 2.1)
    assert {one: start.position for one, (_, start) in found.items()} == {ONE: 5, TWO: 4}
    assert not starts.waits()


def test_an_answer_for_a_partition_that_was_taken_away_counts_no_more() -> None:
    broker = Broker()
    starts = start_positions_of(broker)
    starts.want([ONE, TWO])
    starts.ready(0.0)
    starts.forget([ONE])
    starts.want([ONE])
    assert starts.ready(0.1) == [TWO]
    starts.forget([TWO])
    assert starts.take({}, 0.1) == {}
    assert starts.ready(0.2) == [ONE]


def test_a_position_beyond_the_end_is_believed_only_after_a_while() -> None:
    broker = Broker()
    broker.end = 3
    starts = start_positions_of(broker)
    starts.want([ONE])
    seen = []
    for now_s in range(int(BEYOND_END_S) + 3):
        starts.ready(float(now_s))
        seen += [start.skipped for _, start in starts.take({}, float(now_s)).values()]
    assert seen == [range(3, 5)]
    broker.end = 20
    starts.want([ONE])
    starts.ready(100.0)
    starts.ready(101.0)
    assert starts.take({}, 101.0)[ONE][1].position == 5


def test_a_defect_in_the_asking_thread_is_raised_in_the_loop() -> None:
    class Broken(Broker):
        def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]:
            raise ZeroDivisionError

    starts = start_positions_of(Broken())
    starts.want([ONE])
    starts.ready(0.0)
    with pytest.raises(ZeroDivisionError):
        starts.ready(0.1)
