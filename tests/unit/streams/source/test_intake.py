"""From a message of Faust to a frame in the stage, and back to the offset that is committed."""

from typing import Any, cast
from unittest.mock import Mock

import pytest
from faust.types.tuples import ConsumerMessage

from infra.kafka.records import ConsumedRecord
from infra.kafka.start_offsets import StartPoint
from infra.process import metrics
from infra.settings import Settings
from schemas.coordinates import Coordinates
from streams.source.app import build_app
from streams.source.consumer import JumpMessage
from streams.source.intake import Intake, consumed_record
from streams.stage.frames import PendingFrame
from tests.support.faust_bench import PLACE, TOPIC, OurConsumer


def message(offset: int, generation: int = 1) -> ConsumerMessage:
    headers = [("sightline-replay-id", b"r1")]
    return ConsumerMessage(
        TOPIC, 0, offset, 1234.567, 0, headers, b"cam", b"frame", None, tp=PLACE, generation_id=generation
    )


class Group:
    """An intake whose consumer talks to no broker, and the frames that it gave to the stage."""

    def __init__(self) -> None:
        self.app = build_app(Settings(kafka={"bootstrap_servers": "a:1"}), "live")  # type: ignore[arg-type]
        self.consumer = OurConsumer(self.app)
        self.app._consumer = cast(Any, self.consumer)
        self.member = (1, "member-1")
        self.app.member = lambda: self.member  # type: ignore[method-assign]
        self.taken: list[PendingFrame] = []
        self.failures: list[BaseException] = []
        stage = Mock(take=self.taken.append)
        self.intake = Intake(self.app, TOPIC, stage, self.failures.append)

    async def assign(self, generation: int) -> None:
        await self.consumer.on_partitions_assigned({PLACE}, generation)
        await self.intake._on_assigned(self.app, {PLACE})

    def read(self, offset: int, generation: int = 1) -> None:
        self.intake._take(message(offset, generation))


@pytest.fixture
async def group() -> Group:
    made = Group()
    await made.assign(1)
    return made


def test_a_message_becomes_the_one_consumed_record() -> None:
    record = consumed_record(message(5))
    assert record == ConsumedRecord(TOPIC, 0, 5, 1_234_567, b"cam", b"frame", [("sightline-replay-id", b"r1")])


async def test_a_frame_that_is_finished_lets_its_offset_be_committed(group: Group) -> None:
    group.read(5)
    (pending,) = group.taken
    assert (pending.record.source, pending.record.timestamp_ms) == (Coordinates(TOPIC, 0, 5), 1_234_567)
    assert pending.replay_id == "r1"
    assert not await group.intake.drain(0)
    pending.finish()
    assert await group.intake.drain(0)
    assert group.consumer.next_commit() == 6


async def test_a_frame_of_a_past_generation_is_neither_taken_nor_waited_for(group: Group) -> None:
    group.read(5)
    await group.consumer.on_partitions_revoked({PLACE})
    assert await group.intake.drain(0), "what is in flight belongs to the next owner"
    await group.assign(2)
    group.read(5, generation=1)
    assert len(group.taken) == 1
    group.read(5, generation=2)
    group.taken[0].finish()
    assert group.consumer.next_commit() is None
    group.taken[1].finish()
    assert group.consumer.next_commit() == 6


async def test_what_is_finished_while_a_rebalance_waits_is_committed(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.source.intake.REVOKE_BUDGET_S", 5.0)
    group.read(5)
    group.intake._stage.close_window = group.taken[0].finish  # type: ignore[method-assign]
    group.consumer._on_partitions_revoked = cast(Any, lambda revoked: group.intake._on_revoked(group.app, revoked))
    await group.consumer.on_partitions_revoked({PLACE})
    assert group.consumer.committed == [6]


async def test_it_is_ready_once_it_is_in_the_group(group: Group) -> None:
    assert group.intake.not_ready() is None
    await group.intake._on_revoked(group.app, {PLACE})
    assert group.intake.not_ready() is not None


@pytest.mark.parametrize("name", ["stage-0", None])
async def test_a_static_member_that_was_replaced_in_its_generation_has_a_twin(group: Group, name: str | None) -> None:
    group.intake._instance_id = name
    group.member = (1, "member-2")
    await group.assign(1)
    assert bool(group.failures) == bool(name)


def jumps(group: Group, point: StartPoint, generation: int = 1) -> None:
    group.intake._take(JumpMessage(PLACE, point, generation))


async def test_nothing_is_committed_past_what_is_gone_before_its_dead_letter_is_written(group: Group) -> None:
    before = metrics.FRAMES_SKIPPED._value.get()
    group.read(5)
    jumps(group, StartPoint(9, range(6, 9), goes_on=True))
    group.read(9)
    first, skipped, behind = group.taken
    assert skipped.gone is not None and skipped.gone.reason == "frames_skipped"
    assert skipped.record.source == Coordinates(TOPIC, 0, 8)
    assert skipped.gone.detail == (
        "3 offsets, offsets 6 to 8 of frames/0, were removed before the stream stage had read them: "
        "their frames have no outcome"
    )
    for frame in (first, behind):
        frame.finish()
    assert group.consumer.next_commit() == 6
    skipped.finish()
    assert group.consumer.next_commit() == 10
    assert metrics.FRAMES_SKIPPED._value.get() - before == 3


async def test_a_log_that_begins_anew_is_committed_from_its_beginning(group: Group) -> None:
    group.read(5)
    jumps(group, StartPoint(0))
    group.read(0)
    old, new = group.taken
    old.finish()
    assert group.consumer.next_commit() is None
    new.finish()
    assert group.consumer.next_commit() == 1


async def test_where_nothing_is_committed_the_beginning_is_committed_before_a_record_comes(group: Group) -> None:
    """A monitor takes a partition without a committed offset for one that is never read."""
    jumps(group, StartPoint(0, may_have_read=True))
    assert group.consumer.next_commit() == 0


async def test_a_jump_of_a_past_generation_is_left_to_the_next_owner(group: Group) -> None:
    jumps(group, StartPoint(9, range(6, 9)), generation=0)
    assert group.taken == []


async def test_what_nobody_knows_of_is_told_and_not_counted(group: Group) -> None:
    before = metrics.FRAMES_SKIPPED._value.get()
    jumps(group, StartPoint(9, range(9), may_have_read=True))
    (skipped,) = group.taken
    assert str(skipped.gone).startswith("frames_skipped: offsets 0 to 8 of frames/0 are gone, and no committed offset")
    skipped.finish()
    assert metrics.FRAMES_SKIPPED._value.get() == before
    assert group.consumer.next_commit() == 9
