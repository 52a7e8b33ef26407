"""Acks: strictly in order per partition, whatever the order of completion; never for a generation that is over."""

from hypothesis import given
from hypothesis import strategies as st

from streams.source.acks import OrderedAcks, Ticket


class Line:
    """An OrderedAcks with the acks it gave and a generation to turn."""

    def __init__(self) -> None:
        self.acked: list[tuple[int, int]] = []
        self.generation = 1
        self.acks: OrderedAcks[tuple[int, int]] = OrderedAcks(self.acked.append, lambda: self.generation)

    def take(self, partition: int, offset: int) -> Ticket[tuple[int, int]]:
        return self.acks.take("frames", partition, offset, self.generation, (partition, offset))


@given(st.permutations(range(12)), st.integers(0, 12))
def test_acks_are_the_unbroken_prefix_of_what_is_done(order: list[int], finished: int) -> None:
    line = Line()
    tickets = [line.take(offset % 3, offset) for offset in range(12)]
    for index in order[:finished]:
        line.acks.done(tickets[index])
    done = set(order[:finished])
    for partition in range(3):
        expected = []
        for offset in range(partition, 12, 3):
            if offset not in done:
                break
            expected.append((partition, offset))
        assert [item for item in line.acked if item[0] == partition] == expected
    assert line.acks.pending() == 12 - len(line.acked)


def test_a_frame_that_finishes_after_the_rebalance_is_not_acked() -> None:
    line = Line()
    old = line.take(0, 5)
    line.generation = 2
    line.acks.done(old)
    assert line.acked == []
    assert line.acks.pending() == 0


def test_the_same_offsets_read_again_after_a_rebalance_do_not_wait_for_the_old_ones() -> None:
    line = Line()
    line.take(0, 5)
    late = line.take(0, 6)
    line.generation = 2
    line.acks.forget_old()
    again = [line.take(0, offset) for offset in (5, 6)]
    line.acks.done(late)
    assert line.acked == []
    line.acks.done(again[0])
    line.acks.done(again[1])
    assert line.acked == [(0, 5), (0, 6)]


def test_an_offset_that_is_read_twice_in_one_generation_stands_in_line_twice() -> None:
    line = Line()
    first, second, again = line.take(0, 5), line.take(0, 6), line.take(0, 5)
    line.acks.done(again)
    assert line.acked == []
    line.acks.done(first)
    line.acks.done(second)
    assert line.acked == [(0, 5), (0, 6), (0, 5)]
