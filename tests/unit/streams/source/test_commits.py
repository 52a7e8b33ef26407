"""What the stage makes of Faust's consumer: whose acks count, which offset is committed, what a rebalance forgets."""

import asyncio
from typing import Any

import faust.streams
import pytest
from faust.types.tuples import ConsumerMessage
from hypothesis import given
from hypothesis import strategies as st

from tests.support.faust_bench import PLACE, TOPIC, Bench, FaustConsumer, OurConsumer


@pytest.fixture
async def ours() -> Bench:
    return Bench(OurConsumer)


def message(offset: int) -> ConsumerMessage:
    return ConsumerMessage(TOPIC, 0, offset, 0.0, 0, [], b"cam", b"frame", None, tp=PLACE, generation_id=1)


def finish(bench: Bench, *offsets: int) -> None:
    for offset in offsets:
        bench.consumer.finish(message(offset))  # type: ignore[attr-defined]


@pytest.mark.parametrize("iterator", ["compiled", "python"])
async def test_faust_acks_nothing_whatever_it_leaves_out(
    ours: Bench, iterator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its iterator in Python acks the messages of a past generation, and all that come while the flow is stopped."""
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
    """Markers, aborted records, what was compacted: whatever is missing, the last finished one is what counts."""
    bench = Bench(OurConsumer)
    offsets.sort()
    committed = None
    for number, offset in enumerate(offsets, 1):
        if known and number > 1:
            await bench.consumer._add_gap(PLACE, offsets[number - 2] + 1, offset)
        finish(bench, offset)
        if number % every == 0:
            committed = bench.consumer.commit_to()
            assert committed == offset + 1
    bench.consumer.commit_to()
    assert bench.consumer._committed_offset[PLACE] == offsets[-1] + 1
    assert bench.consumer.acked() == [], "nothing is remembered that is committed"


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
    """Faust alone drops it before anybody is told: an orderly rebalance labelled a second of frames twice."""
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
