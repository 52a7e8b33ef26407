"""Where the stage goes on: nothing that is in the log is passed over, and what is not there is told."""

from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.offsets_lookup import PartitionOffsets
from infra.kafka.start_offsets import StartPoint, start_point_of
from schemas.coordinates import TopicPartition
from streams.source.jumps import Jump, jump_of

PLACE = TopicPartition("frames.raw", 3)
OFFSETS = st.integers(0, 40)


@st.composite
def logs(draw: st.DrawFn) -> tuple[int, int]:
    first = draw(OFFSETS)
    return first, first + draw(OFFSETS)


@given(log=logs(), committed=st.none() | OFFSETS)
def test_a_start_passes_over_nothing_that_is_there_and_tells_what_is_not(
    log: tuple[int, int], committed: int | None
) -> None:
    first, end = log
    jump = jump_of(start_point_of(PLACE, PartitionOffsets(committed, first, end)), None)
    assert jump.offset == max(first, committed or 0), "the broker refuses an offset behind the end"
    assert set(jump.gone) == set(range(committed or 0, first))
    assert jump.may_have_been_read == (committed is None)
    assert not jump.restarts


@given(log=logs(), read=st.lists(OFFSETS, min_size=1, unique=True).map(sorted), committed=st.none() | OFFSETS)
def test_a_refused_offset_is_a_gap_or_another_log(log: tuple[int, int], read: list[int], committed: int | None) -> None:
    """A member that has read up to `position`, and has committed some of that or nothing."""
    first, end = log
    position = read[-1] + 1
    committed = None if committed is None else min(committed, position)
    jump = jump_of(start_point_of(PLACE, PartitionOffsets(committed, first, end), position), position)
    if position < first:
        assert jump == Jump(first, range(position, first)), "what was read before still counts"
        assert jump.skipped_frames == first - position
    elif position > end:
        assert jump == Jump(first, restarts=True), "the whole log is read, and what was read before counts no more"
    else:
        assert jump.offset <= position, "it is there again"
        assert set(range(jump.offset, position)) | set(jump.gone) >= set(range(max(committed or 0, first), position))


def test_the_dead_letter_says_what_is_gone() -> None:
    known = jump_of(StartPoint(15, range(10, 15)), None)
    assert known.outcome(PLACE).detail == (
        "5 offsets, offsets 10 to 14 of frames.raw/3, were removed before the stream stage had read them: "
        "their frames have no outcome"
    )
    unknown = jump_of(StartPoint(15, range(15), may_have_read=True), None)
    assert unknown.skipped_frames == 0
    assert str(unknown.outcome(PLACE)).startswith("frames_skipped: offsets 0 to 14 of frames.raw/3 are gone, and no ")
