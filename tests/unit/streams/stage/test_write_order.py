"""Of each source, frames are written as they were read, whatever the order in which they are ready."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.groups import GroupProgress
from schemas.coordinates import TopicPartition
from streams.stage.write_order import Place, WriteOrder

Frame = tuple[str, int]  # source, offset
PARTITION = TopicPartition("frames.raw", 0)

sources = st.lists(st.sampled_from("abcd"), max_size=40)


def entered(order: WriteOrder[Frame], names: list[str]) -> list[tuple[Place[Frame], Frame]]:
    return [(order.enter(name), (name, offset)) for offset, name in enumerate(names)]


@given(sources, st.randoms(use_true_random=False), st.sets(st.integers(0, 39)))
def test_the_order_of_each_source_is_kept_and_nothing_is_left_behind(
    names: list[str], random: Random, left_out: set[int]
) -> None:
    order: WriteOrder[Frame] = WriteOrder()
    frames = entered(order, names)
    random.shuffle(frames)
    written: list[Frame] = []
    for place, frame in frames:
        order.settle(place, None if frame[1] in left_out else frame)
        if random.random() < 0.5:
            written += order.take()
    written += order.take()
    assert sorted(offset for _, offset in written) == [n for n in range(len(names)) if n not in left_out]
    for name in set(names):
        offsets = [offset for source, offset in written if source == name]
        assert offsets == sorted(offsets)
    assert (len(order), order.take()) == (0, [])


@given(sources, st.sampled_from("abcd"))
def test_a_source_that_is_never_ready_holds_up_nobody_else(names: list[str], hard: str) -> None:
    order: WriteOrder[Frame] = WriteOrder()
    for place, frame in entered(order, names):
        if frame[0] != hard:
            order.settle(place, frame)
    assert [frame[0] for frame in order.take()] == [name for name in names if name != hard]
    assert len(order) == names.count(hard)


@given(sources, st.randoms(use_true_random=False))
def test_no_commit_passes_a_frame_that_is_not_written(names: list[str], random: Random) -> None:
    """All sources share a partition: its offset waits for the oldest frame, and written frames behind it count then."""
    order: WriteOrder[Frame] = WriteOrder()
    progress: GroupProgress[None] = GroupProgress()
    progress.assign([PARTITION])
    tickets = [progress.start(PARTITION, offset, None) for offset in range(len(names))]
    frames = entered(order, names)
    random.shuffle(frames)
    unwritten = set(range(len(names)))
    for place, frame in frames:
        order.settle(place, frame)
        for _, offset in order.take():
            ticket = tickets[offset]
            assert ticket is not None
            progress.finish(ticket)
            unwritten.discard(offset)
        oldest = min(unwritten, default=len(names))
        assert progress.to_commit().get(PARTITION, 0) == oldest
        assert progress.ahead(PARTITION) == len(names) - oldest
