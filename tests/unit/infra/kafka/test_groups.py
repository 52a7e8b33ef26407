"""What a group member may commit: only of partitions it owns, of their present generation, up to the first gap."""

from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.groups import GroupProgress, Ticket
from schemas.coordinates import TopicPartition

P0, P1, P2 = (TopicPartition("batches", number) for number in range(3))


def owning(*partitions: TopicPartition) -> GroupProgress[str]:
    progress = GroupProgress[str]()
    progress.assign(partitions)
    return progress


def read(progress: GroupProgress[str], partition: TopicPartition, offset: int) -> Ticket[str]:
    ticket = progress.start(partition, offset, f"{partition.partition}@{offset}")
    assert ticket is not None
    return ticket


def is_current(progress: GroupProgress[str], ticket: Ticket[str]) -> bool:
    return progress.generation(ticket.topic_partition) == ticket.generation


def test_only_the_unbroken_prefix_moves() -> None:
    progress = owning(P0)
    first, second, third = (read(progress, P0, offset) for offset in (5, 6, 9))
    assert progress.finish(second)
    assert progress.to_commit() == {}
    assert progress.pending() == 3
    assert progress.finish(first)
    assert progress.to_commit() == {P0: 7}
    assert progress.finish(third), "a gap between offsets holds nothing up"
    assert progress.to_commit() == {P0: 10}
    assert progress.pending() == 0


def test_a_record_that_is_finished_twice_counts_once() -> None:
    progress = owning(P0)
    ticket = read(progress, P0, 5)
    assert progress.finish(ticket)
    assert not progress.finish(ticket)
    assert progress.to_commit() == {P0: 6}


def test_a_commit_is_asked_for_once() -> None:
    progress = owning(P0)
    progress.finish(read(progress, P0, 5))
    assert progress.committed({P0: 6})
    assert progress.to_commit() == {}
    assert not progress.committed({P0: 6}), "the same offset again is no progress"


def test_all_that_was_read_waits_until_it_is_committed() -> None:
    progress = owning(P0)
    waits = [progress.has_uncommitted]
    ticket = read(progress, P0, 5)
    waits.append(progress.has_uncommitted)
    progress.finish(ticket)
    waits.append(progress.has_uncommitted)
    progress.committed({P0: 6})
    waits.append(progress.has_uncommitted)
    assert waits == [False, True, True, False]


def test_what_is_in_flight_is_started_and_not_finished() -> None:
    progress = owning(P0, P1)
    tickets = [read(progress, P0, 5), read(progress, P0, 6), read(progress, P1, 3)]
    progress.finish(tickets[1])
    assert list(progress.in_flight()) == ["0@5", "1@3"]
    assert list(progress.in_flight([P1, P2])) == ["1@3"]


def test_the_last_read_record_is_one_of_the_present_generation() -> None:
    progress = owning(P0, P1)
    progress.finish(read(progress, P0, 5))
    read(progress, P0, 6)
    assert [progress.last_read(one) for one in (P0, P1, P2)] == [6, None, None]
    progress.rewind()
    assert progress.last_read(P0) is None


def test_a_record_of_a_partition_that_is_not_owned_is_left_alone() -> None:
    progress = owning(P0)
    assert progress.start(P1, 5, "late") is None
    assert progress.generation(P1) is None
    assert progress.pending() == 0


def test_results_of_a_revoked_partition_are_never_committed() -> None:
    progress = owning(P0, P1)
    ticket, other = read(progress, P0, 5), read(progress, P1, 5)
    progress.revoke([P0, P2])
    assert progress.partitions() == [P1]
    assert not is_current(progress, ticket)
    assert not progress.finish(ticket)
    assert progress.finish(other)
    assert progress.to_commit() == {P1: 6}


def test_results_of_an_earlier_generation_count_for_nothing_when_the_partition_comes_back() -> None:
    progress = owning(P0)
    early = read(progress, P0, 5)
    progress.revoke([P0])
    progress.assign([P0])
    again = read(progress, P0, 5)
    assert early.generation < again.generation == progress.generation(P0)
    assert not progress.finish(early)
    assert progress.to_commit() == {}
    assert progress.finish(again)
    assert progress.to_commit() == {P0: 6}


def test_an_assignment_of_an_owned_partition_begins_a_new_generation() -> None:
    progress = owning(P0)
    early = read(progress, P0, 5)
    progress.assign([P0])
    assert not is_current(progress, early)
    assert not progress.has_uncommitted


def test_what_was_finished_and_not_committed_before_the_revocation_is_lost() -> None:
    progress = owning(P0)
    progress.finish(read(progress, P0, 5))
    progress.revoke([P0])
    assert progress.to_commit() == {}
    assert not progress.committed({P0: 6})


def test_rewind_goes_back_to_the_last_commit_or_the_first_read() -> None:
    progress = owning(P0, P1, P2)
    progress.finish(read(progress, P0, 5))
    progress.committed({P0: 6})
    left = read(progress, P0, 6)
    progress.finish(read(progress, P1, 40))  # finished, and its transaction aborted
    assert progress.rewind() == {P0: 6, P1: 40}, "nothing was read of the third"
    assert not is_current(progress, left)
    assert progress.pending() == 0
    assert progress.to_commit() == {}
    progress.finish(read(progress, P1, 40))
    assert progress.to_commit() == {P1: 41}


@given(st.lists(st.integers(0, 200), unique=True, min_size=1).map(sorted), st.data())
def test_exactly_the_unbroken_prefix_is_to_commit_in_whatever_order_records_finish(
    offsets: list[int], data: st.DataObject
) -> None:
    progress = owning(P0)
    tickets = [read(progress, P0, offset) for offset in offsets]
    for ticket in data.draw(st.permutations(tickets)):
        assert progress.finish(ticket)
        prefix: list[int] = []
        for one in tickets:
            if not one.is_finished:
                break
            prefix.append(one.offset)
        assert progress.to_commit() == ({P0: prefix[-1] + 1} if prefix else {})
    assert progress.pending() == 0


ACTIONS = st.lists(st.tuples(st.sampled_from("rrrdddcfaw"), st.integers(0, 2), st.integers(0, 5)), max_size=80)


@given(ACTIONS)
def test_no_offset_is_ever_committed_past_a_record_that_is_not_finished(actions: list[tuple[str, int, int]]) -> None:
    """Read, finish (d), commit, revoke (f), assign and rewind (w) in any order."""
    progress = GroupProgress[str]()
    next_offset: dict[TopicPartition, int] = {}
    tickets: list[Ticket[str]] = []
    for action, number, choice in actions:
        partition = TopicPartition("batches", number)
        if action == "r" and progress.generation(partition) is not None:
            ticket = read(progress, partition, next_offset.get(partition, 0))
            next_offset[partition] = ticket.offset + 1
            tickets.append(ticket)
        elif action == "d" and tickets:
            progress.finish(tickets[-1 - choice % len(tickets)])
        elif action == "c":
            progress.committed(progress.to_commit())
        elif action == "f":
            progress.revoke([partition])
        elif action == "a":
            progress.assign([partition])
        elif action == "w":
            next_offset.update(progress.rewind())
        current = [ticket for ticket in tickets if is_current(progress, ticket)]
        for committed, offset in progress.to_commit().items():
            assert progress.generation(committed) is not None
            of_it = [ticket for ticket in current if ticket.topic_partition == committed]
            assert all(ticket.is_finished for ticket in of_it if ticket.offset < offset)
        unfinished = [ticket.item for ticket in current if not ticket.is_finished]
        assert sorted(progress.in_flight()) == sorted(unfinished)


def test_a_record_that_is_read_twice_in_one_generation_is_waited_for_twice() -> None:
    progress = owning(P0)
    first, second, again = (read(progress, P0, offset) for offset in (5, 6, 5))
    progress.finish(again)
    assert progress.to_commit() == {}
    progress.finish(first)
    progress.finish(second)
    assert progress.to_commit() == {P0: 7}, "the second reading does not move the offset back"
    assert progress.pending() == 0


def test_an_offset_behind_the_committed_one_is_never_committed() -> None:
    """The answer to a commit of the past generation may come after the partition was assigned again."""
    progress = owning(P0)
    progress.committed({P0: 9})
    progress.finish(read(progress, P0, 5))
    assert progress.to_commit() == {}
    progress.finish(read(progress, P0, 9))
    assert progress.to_commit() == {P0: 10}


def test_completed_counts_the_records_of_finished_prefixes_alone() -> None:
    progress = owning(P0, P1)
    first, second = read(progress, P0, 5), read(progress, P0, 6)
    progress.finish(second)
    assert progress.completed == 0
    progress.finish(first)
    progress.finish(read(progress, P1, 3))
    assert progress.completed == 3
    progress.finish(second)
    assert progress.completed == 3
