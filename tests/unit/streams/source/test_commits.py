"""Faust's consumer with our bookkeeping: what it commits, and what counts no more after a rebalance."""

import asyncio
from typing import Any

import faust.streams
import pytest
from faust.types.tuples import ConsumerMessage
from hypothesis import given
from hypothesis import strategies as st

from schemas.coordinates import Coordinates
from tests.support.faust_bench import PLACE, TOPIC, Bench, FaustConsumer, OurConsumer


@pytest.fixture
async def ours() -> Bench:
    return await joined()


async def joined() -> Bench:
    """A bench with the stage's consumer, in its first generation."""
    bench = Bench(OurConsumer)
    await bench.consumer.on_partitions_assigned({PLACE}, 1)
    return bench


def message(offset: int, generation: int = 1) -> ConsumerMessage:
    return ConsumerMessage(TOPIC, 0, offset, 0.0, 0, [], b"cam", b"frame", None, tp=PLACE, generation_id=generation)


def begin(bench: Bench, offset: int, generation: int = 1) -> Any:
    return bench.consumer.begin(message(offset, generation))  # type: ignore[attr-defined]


def finish(bench: Bench, *offsets: int) -> None:
    for offset in offsets:
        bench.consumer.finish(begin(bench, offset))  # type: ignore[attr-defined]


@pytest.mark.parametrize("iterator", ["compiled", "python"])
async def test_faust_acks_nothing_whatever_it_leaves_out(
    ours: Bench, iterator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust's iterator in Python acks messages of a past generation, and those that come while the flow is stopped."""
    if iterator == "python":
        monkeypatch.setattr(faust.streams, "_CStreamIterator", None)
    seen: list[int] = []

    async def body(stream: Any) -> None:
        async for event in stream.noack().events():
            seen.append(event.message.offset)

    await ours.put(7, generation=0)
    await ours.put(8, generation=0)
    await ours.put(9)
    await ours.run(body)
    assert seen == [9]
    assert ours.consumer.acked() == []
    assert ours.consumer.next_commit() is None


@given(offsets=st.lists(st.integers(0, 60), min_size=1, unique=True), every=st.integers(1, 7), known=st.booleans())
async def test_offsets_without_a_record_hold_nothing_up(offsets: list[int], every: int, known: bool) -> None:
    """Transaction markers, aborted records, compacted records: only the last finished record decides."""
    bench = await joined()
    consumer: Any = bench.consumer
    offsets.sort()
    for number, offset in enumerate(offsets, 1):
        if known and number > 1:
            await consumer._add_gap(PLACE, offsets[number - 2] + 1, offset)
        finish(bench, offset)
        if number % every == 0:
            await consumer.commit()
            assert consumer.committed[-1] == offset + 1
    await consumer.commit()
    assert consumer.committed[-1] == offsets[-1] + 1
    assert (consumer.uncommitted, consumer.next_commit()) == (0, None)


async def test_a_commit_leaves_no_hole_where_faust_would_commit_over_it(ours: Bench) -> None:
    """faust-streaming/faust#606; see test_app.py for what Faust does alone."""
    consumer: Any = ours.consumer
    first, second, third = (begin(ours, offset) for offset in range(3))
    consumer.finish(second)
    consumer.finish(third)
    assert (consumer.uncommitted, consumer.next_commit()) == (0, None)
    consumer.finish(first)
    assert (consumer.uncommitted, consumer.next_commit()) == (3, 3)


async def test_an_offset_that_comes_once_more_begins_the_partition_anew(ours: Bench) -> None:
    """What was read before counts no more: the log may be another one, and else it is read again."""
    consumer: Any = ours.consumer
    first, second, again = begin(ours, 5), begin(ours, 6), begin(ours, 5)
    consumer.finish(first)
    consumer.finish(second)
    assert (consumer.next_commit(), consumer.progress.pending()) == (None, 1)
    consumer.finish(again)
    assert (consumer.next_commit(), consumer.uncommitted) == (6, 1)


async def test_nothing_of_a_log_that_began_anew_waits_for_a_commit(ours: Bench) -> None:
    consumer: Any = ours.consumer
    finish(ours, 5, 6)
    consumer.begin_anew(PLACE)
    assert (consumer.uncommitted, consumer.next_commit()) == (0, None)


FED = [100, 101, 102, 0, 1, 2, 50, 101, 102, 103]


async def drained(bench: Bench) -> list[int]:
    """What Faust hands over of the records that were fetched, through its real loop."""
    consumer: Any = bench.consumer
    taken: list[int] = []
    batches = iter([FED])

    async def getmany(timeout: float) -> Any:
        for offset in next(batches, []):
            yield PLACE, message(offset)
        consumer._stopped.set()

    async def take(found: Any) -> None:
        taken.append(found.offset)

    consumer.getmany, consumer.callback = getmany, take
    consumer.suspend_flow.wait = asyncio.Event().wait
    await consumer._drain_messages(consumer)
    return taken


async def test_no_record_is_dropped_because_its_offset_is_low(ours: Bench) -> None:
    """Faust drops what lies below its own read offset, and says so in its debug log only."""
    alone = Bench(FaustConsumer)
    assert await drained(alone) == [100, 101, 102, 102, 103], "Faust was mended"
    assert await drained(ours) == FED


async def test_a_commit_follows_the_log_that_was_made_again(ours: Bench) -> None:
    consumer: Any = ours.consumer
    tickets = [begin(ours, offset) for offset in FED]
    for ticket in tickets[:5]:
        consumer.finish(ticket)
    assert consumer.next_commit() == 2, "and not 103"
    for ticket in tickets[6:]:
        consumer.finish(ticket)
    assert consumer.next_commit() == 2
    consumer.finish(tickets[5])
    assert consumer.next_commit() == 104


async def test_frames_of_a_past_generation_count_no_more_and_are_not_taken(ours: Bench) -> None:
    consumer: Any = ours.consumer
    late = begin(ours, 6)
    await consumer.on_partitions_revoked({PLACE})
    consumer.finish(late)
    assert begin(ours, 7) is None, "between two generations nothing is ours"
    await consumer.on_partitions_assigned({PLACE}, 2)
    assert begin(ours, 7) is None, "read in the past generation"
    again = begin(ours, 6, generation=2)
    consumer.finish(late)
    assert (consumer.next_commit(), consumer.uncommitted, consumer.progress.pending()) == (None, 0, 1)
    consumer.finish(again)
    assert consumer.next_commit() == 7


async def test_a_partition_that_went_to_another_member_is_not_committed(ours: Bench) -> None:
    consumer: Any = ours.consumer
    ticket = begin(ours, 6)
    await consumer.on_partitions_revoked({PLACE})
    await consumer.on_partitions_assigned(set(), 2)
    consumer.finish(ticket)
    await consumer.commit()
    assert consumer.committed == []


async def test_a_commit_that_failed_is_tried_again(ours: Bench) -> None:
    """Faust alone takes it for done, and commits nothing until the next frame is finished."""
    consumer: Any = ours.consumer
    consumer.broker_takes = False
    finish(ours, 0)
    await consumer.commit()
    consumer.broker_takes = True
    await consumer.commit()
    assert (consumer.committed, consumer.commits, consumer.uncommitted) == ([1, 1], 1, 0)


async def test_a_commit_counts_when_the_broker_took_it(ours: Bench) -> None:
    consumer: Any = ours.consumer
    finish(ours, 0, 1, 2)
    assert (consumer.commits, consumer.uncommitted) == (0, 3)
    consumer.broker_takes = False
    await consumer.commit()
    assert (consumer.commits, consumer.uncommitted) == (0, 3)
    consumer.broker_takes = True
    finish(ours, 3)
    await consumer.commit()
    assert (consumer.commits, consumer.uncommitted, consumer.committed) == (1, 0, [3, 4])
    await consumer.commit()
    assert consumer.commits == 1, "nothing was new"


async def test_what_is_finished_is_committed_before_a_rebalance_forgets_it(ours: Bench) -> None:
    """Faust alone forgets it before it tells anybody: up to a second of frames was labelled twice at a rebalance."""
    consumer: Any = ours.consumer
    finish(ours, 0, 1, 2)
    await consumer.on_partitions_revoked({PLACE})
    assert consumer.committed == [3]
    alone = Bench(FaustConsumer)
    for offset in range(3):
        alone.consumer.ack(message(offset))
    await alone.consumer.on_partitions_revoked({PLACE})
    await alone.consumer.commit()
    assert alone.consumer.committed == [], "Faust was mended"


async def test_after_a_rebalance_nothing_of_before_waits_for_a_commit(ours: Bench) -> None:
    consumer: Any = ours.consumer
    consumer.broker_takes = False
    finish(ours, 0, 1)
    await consumer.on_partitions_revoked({PLACE})
    await consumer.on_partitions_assigned({PLACE}, 2)
    assert consumer.uncommitted == 0


@pytest.mark.parametrize("is_under_way", [False, True], ids=["ours", "Faust's own"])
async def test_a_commit_without_an_answer_does_not_hold_a_rebalance(
    ours: Bench, is_under_way: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.source.commits.BEFORE_REVOKE_S", 0.05)
    consumer: Any = ours.consumer

    async def never(*_: Any) -> bool:
        await asyncio.sleep(60)
        return True

    monkeypatch.setattr(FaustConsumer, "_commit", never)
    finish(ours, 0)
    periodic = asyncio.ensure_future(consumer.commit()) if is_under_way else None
    await asyncio.sleep(0)
    began_s = asyncio.get_running_loop().time()
    await consumer.on_partitions_revoked({PLACE})
    assert asyncio.get_running_loop().time() - began_s < 10
    assert periodic is None or not periodic.done()


async def test_from_half_of_the_limit_on_it_is_told_what_lies_so_far_back(ours: Bench) -> None:
    consumer: Any = ours.consumer
    told: list[Coordinates] = []
    consumer.max_ahead, consumer.on_ahead = 8, told.append
    tickets = [begin(ours, offset) for offset in range(10, 14)]
    assert told == []
    tickets += [begin(ours, offset) for offset in (14, 15)]
    assert told == [Coordinates(TOPIC, 0, 10), Coordinates(TOPIC, 0, 11)]
    for ticket in tickets[:3]:
        consumer.finish(ticket)
    begin(ours, 16)
    assert len(told) == 2, "no more than that lie behind the oldest by now"


async def test_a_partition_is_held_while_too_many_messages_lie_behind_one_that_is_not_finished(ours: Bench) -> None:
    consumer: Any = ours.consumer
    consumer.max_ahead = 3
    tickets = [begin(ours, offset) for offset in range(2)]
    assert consumer.held == frozenset()
    tickets.append(begin(ours, 2))
    assert consumer.held == {PLACE}
    consumer.finish(tickets[1])
    assert consumer.held == {PLACE}, "finished, but the first one is not"
    consumer.finish(tickets[0])
    assert consumer.held == frozenset()
    for offset in range(3, 6):
        begin(ours, offset)
    assert consumer.held == {PLACE}
    await consumer.on_partitions_revoked({PLACE})
    await consumer.on_partitions_assigned({PLACE}, 2)
    assert consumer.held == frozenset(), "they are read again"
    assert not consumer.is_wanted(tickets[2])
