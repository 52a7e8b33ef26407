"""What may be committed: only what is ours, in the generation that it was read in, up to the first hole."""

from hypothesis import given
from hypothesis import strategies as st

from inference.device.work import Origin, Work
from inference.worker.group.ownership import Ownership
from schemas.coordinates import TopicPartition

P0, P1 = TopicPartition("batches", 0), TopicPartition("batches", 1)


def read(ownership: Ownership, place: TopicPartition, offset: int) -> Work:
    generation = ownership.generation(place)
    assert generation is not None
    work = Work(Origin(*place, offset, generation))
    ownership.start(work)
    return work


def owning(*places: TopicPartition) -> Ownership:
    ownership = Ownership()
    ownership.assign(places)
    return ownership


def test_only_the_unbroken_prefix_moves() -> None:
    ownership = owning(P0)
    first, second, third = (read(ownership, P0, offset) for offset in (5, 6, 9))
    ownership.done(second)
    assert ownership.to_commit() == {}
    ownership.done(first)
    assert ownership.to_commit() == {P0: 7}
    ownership.done(third)
    assert ownership.to_commit() == {P0: 10}


def test_a_commit_is_asked_for_once() -> None:
    ownership = owning(P0)
    ownership.done(read(ownership, P0, 5))
    assert ownership.has_uncommitted
    assert ownership.committed({P0: 6})
    assert ownership.to_commit() == {}
    assert not ownership.committed({P0: 6})


def test_nothing_waits_once_all_is_committed() -> None:
    ownership = owning(P0)
    ownership.done(read(ownership, P0, 5))
    ownership.committed({P0: 6})
    assert not ownership.has_uncommitted


def test_results_of_a_revoked_partition_are_never_committed() -> None:
    ownership = owning(P0, P1)
    work, other = read(ownership, P0, 5), read(ownership, P1, 5)
    ownership.forget([P0])
    assert not ownership.done(work)
    assert not ownership.is_current(work)
    assert ownership.done(other)
    assert ownership.to_commit() == {P1: 6}


def test_results_of_an_earlier_generation_count_for_nothing_when_the_partition_comes_back() -> None:
    ownership = owning(P0)
    early = read(ownership, P0, 5)
    ownership.forget([P0])
    ownership.assign([P0])
    again = read(ownership, P0, 5)
    assert not ownership.done(early)
    assert ownership.to_commit() == {}
    assert ownership.done(again)
    assert ownership.to_commit() == {P0: 6}


def test_done_before_the_revocation_and_not_committed_is_lost_to_us() -> None:
    ownership = owning(P0)
    ownership.done(read(ownership, P0, 5))
    ownership.forget([P0])
    assert ownership.to_commit() == {}
    assert not ownership.committed({P0: 6})


def test_rewind_goes_back_to_the_last_commit_or_the_first_read() -> None:
    ownership = owning(P0, P1, TopicPartition("batches", 2))
    ownership.done(read(ownership, P0, 5))
    ownership.committed({P0: 6})
    left = read(ownership, P0, 6)
    ownership.done(read(ownership, P1, 40))  # done, and its transaction aborted
    assert ownership.rewind() == {P0: 6, P1: 40}
    assert not ownership.is_current(left)
    assert ownership.open_frames == 0
    assert ownership.to_commit() == {}
    ownership.done(read(ownership, P1, 40))
    assert ownership.to_commit() == {P1: 41}


ACTIONS = st.lists(st.tuples(st.sampled_from("rrrdddcfa"), st.integers(0, 2), st.integers(0, 5)), max_size=80)


@given(ACTIONS)
def test_no_offset_is_ever_committed_past_work_that_is_not_done(actions: list[tuple[str, int, int]]) -> None:
    ownership = Ownership()
    next_offset: dict[TopicPartition, int] = {}
    works: list[Work] = []
    done: set[Work] = set()
    for action, partition, choice in actions:
        place = TopicPartition("batches", partition)
        if action == "r" and ownership.generation(place) is not None:
            work = read(ownership, place, next_offset.get(place, 0))
            next_offset[place] = work.origin.offset + 1
            works.append(work)
        elif action == "d" and works:
            work = works[-1 - choice % len(works)]
            if ownership.done(work):
                done.add(work)
        elif action == "c":
            ownership.committed(ownership.to_commit())
        elif action == "f":
            ownership.forget([place])
        elif action == "a":
            ownership.assign([place])
        for committed_place, offset in ownership.to_commit().items():
            generation = ownership.generation(committed_place)
            current = [w for w in works if w.origin.place == committed_place and w.origin.generation == generation]
            assert generation is not None
            assert all(work in done for work in current if work.origin.offset < offset)
        assert ownership.open_frames >= 0
