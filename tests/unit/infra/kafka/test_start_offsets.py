"""Where a worker begins a partition that its client has no offset for."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.errors import FaultKind, KafkaFailure, KafkaFault
from infra.kafka.offsets_lookup import AGAIN_S, PartitionOffsets
from infra.kafka.start_offsets import StartOffsets, StartPoint, start_point_of
from schemas.coordinates import TopicPartition

ONE, TWO = TopicPartition("frames.batches", 1), TopicPartition("frames.batches", 2)
UNDECIDED = "undecided"
NOTHING = -1001


@dataclass
class Broker:
    """Committed offsets, UNDECIDED where a transaction holds one; the log reaches from 10 to 100."""

    committed_offsets: dict[TopicPartition, int | str] = field(default_factory=dict)
    is_away: bool = False
    reach: tuple[int, int] | None = (10, 100)
    asked: int = 0

    def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]:
        self.asked += 1
        if self.is_away:
            raise KafkaFailure(KafkaFault(FaultKind.PASSING, "_TIMED_OUT", "timed out"))
        known = {one: self.committed_offsets.get(one, NOTHING) for one in partitions}
        return {one: offset for one, offset in known.items() if isinstance(offset, int)}

    def log_range(self, partition: TopicPartition, timeout_s: float) -> tuple[int, int] | None:
        return self.reach


def starts_of(broker: Broker) -> StartOffsets:
    """Its questions are answered before `found` returns, and told by the next."""
    return StartOffsets(broker, start=lambda ask: ask())


def nothing_read(_partition: TopicPartition) -> int | None:
    return None


def found(starts: StartOffsets, now_s: float) -> dict[TopicPartition, int]:
    """Where to start, of partitions of which nothing is gone."""
    points = starts.found(now_s, nothing_read) | starts.found(now_s, nothing_read)
    assert not any(point.gone for point in points.values())
    return {partition: point.offset for partition, point in points.items()}


def test_a_committed_offset_is_taken_and_asked_for_once() -> None:
    broker = Broker({ONE: 50, TWO: 10})
    starts = starts_of(broker)
    assert found(starts, 0.0) == {}
    assert broker.asked == 0
    starts.want(ONE)
    starts.want(TWO)
    assert found(starts, 0.0) == {ONE: 50, TWO: 10}
    assert found(starts, 9.0) == {}
    assert broker.asked == 1


def test_where_nothing_is_committed_it_begins_at_the_first_record() -> None:
    starts = starts_of(Broker(reach=(0, 100)))
    starts.want(ONE)
    assert found(starts, 0.0) == {ONE: 0}


def test_where_nothing_is_committed_nobody_knows_whether_what_is_gone_was_read() -> None:
    starts = starts_of(Broker(reach=(10, 100)))
    starts.want(ONE)
    assert starts.found(0.0, nothing_read) == {}
    assert starts.found(0.0, nothing_read) == {ONE: StartPoint(10, range(10), may_have_read=True)}


def test_an_offset_that_an_open_transaction_holds_is_waited_for() -> None:
    broker = Broker({ONE: UNDECIDED, TWO: 20})
    starts = starts_of(broker)
    starts.want(ONE)
    starts.want(TWO)
    assert found(starts, 0.0) == {TWO: 20}
    broker.committed_offsets[ONE] = 30
    assert found(starts, AGAIN_S / 2) == {}
    assert found(starts, AGAIN_S) == {ONE: 30}


def test_an_answer_from_before_a_partition_was_taken_away_and_given_back_is_not_believed() -> None:
    broker = Broker({ONE: 30})
    starts = starts_of(broker)
    starts.want(ONE)
    assert starts.found(0.0, nothing_read) == {}  # asked
    starts.forget([ONE])
    starts.want(ONE)
    broker.committed_offsets[ONE] = 80  # by its owner in between
    assert starts.found(0.0, nothing_read) == {}
    assert found(starts, AGAIN_S) == {ONE: 80}


def test_a_broker_that_is_away_is_asked_again() -> None:
    broker = Broker({ONE: 30}, is_away=True)
    starts = starts_of(broker)
    starts.want(ONE)
    assert found(starts, 0.0) == {}
    broker.is_away, broker.reach = False, None
    assert found(starts, AGAIN_S) == {}
    broker.reach = (10, 100)
    assert found(starts, 2 * AGAIN_S) == {ONE: 30}


@pytest.mark.parametrize("committed", [0, 9])
def test_what_was_removed_between_the_committed_offset_and_the_first_record_is_told(committed: int) -> None:
    starts = starts_of(Broker({ONE: committed, TWO: 10}))
    starts.want(ONE)
    starts.want(TWO)
    assert starts.found(0.0, nothing_read) == {}
    assert starts.found(0.0, nothing_read) == {ONE: StartPoint(10, range(committed, 10)), TWO: StartPoint(10)}


def test_a_committed_offset_behind_the_end_is_none_once_the_broker_refuses_it() -> None:
    """A broker that has just started can name an end that is too early."""
    starts = starts_of(Broker({ONE: 101}))
    starts.want(ONE)
    assert found(starts, 0.0) == {ONE: 101}
    starts.want(ONE)
    assert found(starts, 9.0) == {ONE: 10}


def test_after_a_rebalance_nothing_of_before_counts_as_refused() -> None:
    starts = starts_of(Broker({ONE: 101}))
    starts.want(ONE)
    assert found(starts, 0.0) == {ONE: 101}
    starts.forget([ONE])
    starts.want(ONE)
    assert found(starts, 9.0) == {ONE: 101}


def test_a_partition_that_was_taken_away_is_not_asked_for() -> None:
    broker = Broker({ONE: 50})
    starts = starts_of(broker)
    starts.want(ONE)
    starts.forget([ONE, TWO])
    assert found(starts, 0.0) == {}
    assert broker.asked == 0


@pytest.mark.parametrize(
    ("last_read", "expected"),
    [
        (None, StartPoint(55, range(40, 55))),
        (49, StartPoint(55, range(50, 55), goes_on=True)),
        (54, StartPoint(55, range(55, 55), goes_on=True)),
        (70, StartPoint(71, range(71, 71), goes_on=True)),
        (99, StartPoint(100, range(100, 100), goes_on=True)),
        (100, StartPoint(55, range(40, 55))),
    ],
)
def test_reading_goes_on_behind_what_was_read_unless_the_log_is_another_one(
    last_read: int | None, expected: StartPoint
) -> None:
    assert start_point_of(ONE, PartitionOffsets(committed=40, first=55, end=100), last_read) == expected


OFFSETS = st.integers(0, 40)


@given(first=OFFSETS, length=OFFSETS, committed=st.none() | OFFSETS)
def test_a_start_passes_over_nothing_that_is_there_and_tells_what_is_not(
    first: int, length: int, committed: int | None
) -> None:
    point = start_point_of(ONE, PartitionOffsets(committed, first, first + length))
    assert point.offset == max(first, committed or 0), "the broker refuses an offset behind the end"
    assert set(point.gone) == set(range(committed or 0, first))
    assert (point.may_have_read, point.goes_on) == (committed is None, False)


@given(first=OFFSETS, length=OFFSETS, last_read=OFFSETS, committed=st.none() | OFFSETS)
def test_where_the_log_does_not_hold_the_next_offset_it_goes_on_behind_a_gap_or_begins_anew(
    first: int, length: int, last_read: int, committed: int | None
) -> None:
    end, wanted = first + length, last_read + 1
    committed = None if committed is None else min(committed, wanted)
    point = start_point_of(ONE, PartitionOffsets(committed, first, end), last_read)
    if wanted <= end:
        assert (point.offset, point.goes_on) == (max(first, wanted), True), "what was read before still counts"
        assert set(point.gone) == set(range(wanted, first))
    else:
        assert (point.offset, point.goes_on) == (first, False), "all that is there is read once more"
        assert set(point.gone) == set(range(committed or 0, first))
