"""What the stage seeks, and when, with aiokafka's own bookkeeping of assignments and a broker that answers at once."""

from collections.abc import Iterable
from typing import Any
from unittest.mock import Mock

import pytest
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.structs import TopicPartition as Theirs

from infra.kafka.start_offsets import StartOffsets, StartPoint
from schemas.coordinates import TopicPartition
from streams.source.positions import Positions

TOPIC = "frames.raw"
ONE, TWO = TopicPartition(TOPIC, 1), TopicPartition(TOPIC, 2)


class Rig:
    """`committed` offsets, the `reach` of the logs, and the seeks that were made."""

    def __init__(self) -> None:
        self.committed_offsets: dict[TopicPartition, int] = {}
        self.reach: dict[TopicPartition, tuple[int, int]] = {ONE: (0, 100), TWO: (0, 100)}
        self.seeks: list[tuple[TopicPartition, int]] = []
        self.subscriptions = SubscriptionState()
        self.subscriptions.subscribe({TOPIC})
        self.consumer: Any = Mock(_subscription=self.subscriptions, seek=self.seek)
        self.positions = Positions(StartOffsets(self, start=lambda ask: ask()))

    def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]:
        return {one: self.committed_offsets.get(one, -1001) for one in partitions}

    def log_range(self, partition: TopicPartition, timeout_s: float) -> tuple[int, int] | None:
        return self.reach.get(partition)

    def assign(self, *partitions: TopicPartition) -> None:
        self.subscriptions.assign_from_subscribed([Theirs(*one) for one in partitions])

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.subscriptions.seek(Theirs(*partition), offset)
        self.seeks.append((partition, offset))

    def look(self) -> dict[TopicPartition, list[StartPoint]]:
        """The broker is asked and has answered."""
        self.positions.look(self.consumer, 0.0)
        return self.positions.look(self.consumer, 9.0)


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_nothing_is_read_before_its_start_is_known(rig: Rig) -> None:
    rig.assign(ONE, TWO)
    rig.committed_offsets = {ONE: 40, TWO: 50}
    del rig.reach[TWO]
    assert rig.look() == {}
    assert (rig.positions.started, rig.positions.waits, rig.seeks) == ({ONE}, True, [(ONE, 40)])


async def test_what_is_gone_before_a_start_is_a_jump(rig: Rig) -> None:
    rig.assign(ONE, TWO)
    rig.committed_offsets, rig.reach[ONE] = {ONE: 40, TWO: 50}, (60, 100)
    assert rig.look() == {ONE: [StartPoint(60, range(40, 60))]}
    assert sorted(rig.seeks) == [(ONE, 60), (TWO, 50)]


async def test_a_position_that_is_right_already_is_left_alone(rig: Rig) -> None:
    """A seek throws away what was fetched ahead."""
    rig.assign(ONE)
    rig.committed_offsets = {ONE: 40}
    rig.subscriptions.seek(Theirs(*ONE), 40)
    rig.look()
    assert (rig.positions.started, rig.seeks) == ({ONE}, [])


@pytest.mark.parametrize(
    ("reach", "jump"), [((120, 130), StartPoint(120, range(101, 120), goes_on=True)), ((0, 3), StartPoint(0))]
)
async def test_a_refused_offset_stops_its_partition_until_it_is_known_where_to_go_on(
    rig: Rig, reach: tuple[int, int], jump: StartPoint
) -> None:
    rig.assign(ONE, TWO)
    rig.committed_offsets = {ONE: 100, TWO: 50}
    rig.look()
    rig.subscriptions.seek(Theirs(*ONE), 101)
    rig.positions.refused(rig.consumer, {Theirs(*ONE): 100})
    assert rig.positions.started == {ONE, TWO}, "an error from before the last seek"
    rig.positions.refused(rig.consumer, {Theirs(*ONE): 101})
    assert rig.positions.started == {TWO}
    rig.reach[ONE] = reach
    assert rig.look() == {ONE: [jump]}
    assert rig.positions.started == {ONE, TWO}


async def test_a_new_assignment_and_thrown_away_records_start_everything_once_more(rig: Rig) -> None:
    rig.assign(ONE)
    rig.look()
    rig.assign(ONE, TWO)
    rig.positions.look(rig.consumer, 0.0)
    assert (rig.positions.started, rig.positions.waits) == (set(), True)
    assert rig.look() == {}
    assert rig.positions.started == {ONE, TWO}
    rig.committed_offsets = {ONE: 7, TWO: 8}
    rig.positions.again()
    rig.look()
    assert sorted(rig.seeks[-2:]) == [(ONE, 7), (TWO, 8)]


async def test_without_an_assignment_nothing_is_asked(rig: Rig) -> None:
    assert rig.look() == {}
    assert not rig.positions.waits
