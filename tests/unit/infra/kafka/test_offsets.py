"""Only an unbroken completed prefix may be committed, whatever the order of completion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.offsets import CompletedPrefix
from schemas.coordinates import TopicPartition


@given(st.lists(st.integers(0, 200), unique=True, min_size=1).map(sorted), st.data())
def test_committable_never_passes_an_offset_that_is_not_done(offsets: list[int], data: st.DataObject) -> None:
    prefix = CompletedPrefix()
    for offset in offsets:
        prefix.start("t", 0, offset)
    done: set[int] = set()
    for offset in data.draw(st.permutations(offsets)):
        assert prefix.done("t", 0, offset)
        done.add(offset)
        open_offsets = [other for other in offsets if other not in done]
        expected = min(open_offsets) if open_offsets else offsets[-1] + 1
        committable = prefix.committable().get(TopicPartition("t", 0), offsets[0])
        assert committable <= expected
        # nothing done is held back without cause: the next offset is behind the last of the prefix
        assert committable == max([other + 1 for other in offsets if other < expected], default=offsets[0])
    assert prefix.pending() == 0


def test_offsets_of_a_forgotten_partition_do_not_count() -> None:
    prefix = CompletedPrefix()
    prefix.start("t", 0, 5)
    prefix.start("t", 1, 5)
    prefix.forget("t", 0)
    assert not prefix.done("t", 0, 5)
    assert prefix.done("t", 1, 5)
    assert prefix.committable() == {("t", 1): 6}


def test_a_rewound_partition_starts_anew() -> None:
    prefix = CompletedPrefix()
    prefix.start("t", 0, 5)
    with pytest.raises(ValueError, match="offset 5 of t/0 started after 5"):
        prefix.start("t", 0, 5)
    prefix.forget("t", 0)
    prefix.start("t", 0, 5)
    assert prefix.done("t", 0, 5)


def test_an_offset_done_twice_is_done_once() -> None:
    prefix = CompletedPrefix()
    prefix.start("t", 0, 5)
    assert prefix.done("t", 0, 5)
    assert not prefix.done("t", 0, 5)
    assert prefix.committable() == {("t", 0): 6}
