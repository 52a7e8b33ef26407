"""The worker's bookkeeping by piece of work; what may be committed is tested in infra/kafka/test_groups.py."""

import time

from hypothesis import given
from hypothesis import strategies as st

from inference.device.work import Work
from inference.worker.group.work_in_flight import WorkInFlight
from schemas.coordinates import TopicPartition
from tests.support.batches import batch_record, micro_batch

P0, P1 = TopicPartition("batches", 0), TopicPartition("batches", 1)


def read(in_flight: WorkInFlight, partition: TopicPartition, offset: int, frames: int = 1) -> Work:
    generation = in_flight.generation(partition)
    assert generation is not None
    items = micro_batch("frames.raw", 3, range(frames), lambda _: b"").items
    work = Work(batch_record(partition, offset), generation, items=items)
    in_flight.start_work(work)
    return work


def owning(*partitions: TopicPartition) -> WorkInFlight:
    in_flight = WorkInFlight()
    in_flight.assign(partitions)
    return in_flight


def test_frames_count_from_the_read_to_the_end_of_their_work() -> None:
    in_flight = owning(P0)
    first, second = read(in_flight, P0, 5, frames=3), read(in_flight, P0, 6, frames=0)
    assert in_flight.frames == 4, "a record without frames counts as one"
    assert in_flight.finish_work(second)
    assert in_flight.frames == 3
    assert in_flight.finish_work(first)
    assert not in_flight.finish_work(first)
    assert in_flight.frames == 0
    assert in_flight.to_commit() == {P0: 7}


def test_work_of_a_revoked_or_rewound_partition_counts_no_more() -> None:
    in_flight = owning(P0, P1)
    works = [read(in_flight, P0, 5, frames=3), read(in_flight, P1, 8, frames=2)]
    assert all(in_flight.is_current_work(work) for work in works)
    in_flight.revoke([P0])
    assert in_flight.numbers() == {1}
    assert in_flight.frames == 2
    assert in_flight.rewind() == {P1: 8}
    assert in_flight.frames == 0
    for work in works:
        assert not in_flight.is_current_work(work)
        assert not in_flight.finish_work(work)
    assert in_flight.to_commit() == {}


def test_work_of_an_earlier_generation_does_not_stand_for_the_same_record_read_again() -> None:
    in_flight = owning(P0)
    early = read(in_flight, P0, 5)
    in_flight.assign([P0])
    again = read(in_flight, P0, 5)
    assert not in_flight.finish_work(early)
    assert in_flight.frames == 1
    assert in_flight.finish_work(again)


def test_only_progress_moves_the_time_of_the_last_commit() -> None:
    in_flight = owning(P0)
    started_s = in_flight.last_commit_s
    assert started_s <= time.monotonic()
    in_flight.finish_work(read(in_flight, P0, 5))
    assert in_flight.last_commit_s == started_s
    assert in_flight.committed({P0: 6})
    moved_s = in_flight.last_commit_s
    assert moved_s > started_s
    assert not in_flight.committed({P0: 6})
    assert not in_flight.committed({P1: 9})
    assert in_flight.last_commit_s == moved_s


ACTIONS = st.lists(st.tuples(st.sampled_from("rrrdddcfaw"), st.integers(0, 1), st.integers(0, 5)), max_size=60)


@given(ACTIONS)
def test_frames_in_flight_are_those_of_current_unfinished_work(actions: list[tuple[str, int, int]]) -> None:
    in_flight, works, finished = WorkInFlight(), list[Work](), set[Work]()
    for offset, (action, number, choice) in enumerate(actions):
        partition = (P0, P1)[number]
        if action == "r" and in_flight.generation(partition) is not None:
            works.append(read(in_flight, partition, offset, frames=choice))
        elif action == "d" and works:
            work = works[-1 - choice % len(works)]
            if in_flight.finish_work(work):
                finished.add(work)
        elif action == "c":
            in_flight.committed(in_flight.to_commit())
        elif action == "f":
            in_flight.revoke([partition])
        elif action == "a":
            in_flight.assign([partition])
        elif action == "w":
            in_flight.rewind()
        current = [work for work in works if in_flight.is_current_work(work) and work not in finished]
        assert in_flight.frames == sum(work.frames for work in current)
        assert set(in_flight.in_flight()) == set(current)
