"""A partition of which the group has committed nothing gets a committed offset before it has a record."""

from collections.abc import Iterable

from infra.kafka.first_commits import FirstCommits
from infra.kafka.groups import GroupProgress
from infra.kafka.offsets_lookup import AGAIN_S
from schemas.coordinates import TopicPartition

P0, P1, P2 = (TopicPartition("frames.raw", number) for number in range(3))
NOTHING = -1001


class Broker:
    """P0 was committed, P1 never, P2 is not told. Every log begins at 4."""

    def __init__(self) -> None:
        self.offsets = {P0: 7, P1: NOTHING}

    def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]:
        return {one: self.offsets[one] for one in partitions if one in self.offsets}

    def log_range(self, partition: TopicPartition, timeout_s: float) -> tuple[int, int]:
        return (4, 100)


class Rig:
    def __init__(self) -> None:
        self.broker, self.progress, self.now_s = Broker(), GroupProgress[None](), 0.0
        self.first = FirstCommits(self.broker, self.progress, start=lambda ask: ask())

    def assign(self, *partitions: TopicPartition) -> None:
        self.progress.assign(partitions)
        self.first.on_assign(partitions)

    def to_commit(self) -> dict[TopicPartition, int]:
        """After a look that asks, and one that gets the answer."""
        for _ in range(2):
            self.first.look(self.now_s)
            self.now_s += AGAIN_S
        return self.progress.to_commit()


def test_only_what_was_never_committed_gets_the_first_offset_of_its_log() -> None:
    rig = Rig()
    rig.assign(P0, P1, P2)
    assert rig.to_commit() == {P1: 4}
    rig.broker.offsets[P2] = NOTHING
    assert rig.to_commit() == {P1: 4, P2: 4}


def test_an_answer_from_before_the_partition_went_and_came_back_is_not_used() -> None:
    rig = Rig()
    rig.assign(P1)
    rig.first.look(0.0)  # asked
    rig.first.on_revoke([P1])
    rig.broker.offsets[P1] = 50  # by its owner in between
    rig.assign(P1)
    assert rig.to_commit() == {}


def test_what_is_read_meanwhile_is_not_passed() -> None:
    rig = Rig()
    rig.assign(P1)
    ticket = rig.progress.start(P1, 2, None)
    assert rig.to_commit() == {P1: 2}
    assert ticket is not None
    rig.progress.finish(ticket)
    assert rig.progress.to_commit() == {P1: 3}


def gone_of(rig: Rig) -> dict[TopicPartition, list[range]]:
    rig.first.look(rig.now_s)
    rig.now_s += AGAIN_S
    return rig.first.look(rig.now_s)


def test_what_the_client_passes_over_at_its_start_is_told_once() -> None:
    rig = Rig()
    rig.broker.offsets[P2] = 1
    rig.assign(P0, P1, P2)
    assert gone_of(rig) == {P2: [range(1, 4)]}
    assert gone_of(rig) == {}


def test_of_a_jump_only_what_the_log_does_not_hold_any_more_is_gone() -> None:
    rig = Rig()
    rig.assign(P0)
    assert gone_of(rig) == {}
    rig.first.jumped(P0, range(8, 9))
    assert gone_of(rig) == {}, "a transaction marker"
    rig.first.jumped(P0, range(1, 2))
    rig.first.jumped(P0, range(3, 7))
    assert gone_of(rig) == {P0: [range(1, 4)]}
    rig.first.jumped(P0, range(1, 4))
    rig.first.on_revoke([P0])
    assert gone_of(rig) == {}
