"""Whether a label is a repeat depends only on the window before it."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.coordinates import Coordinates
from sinks.base.repeats import RepeatWindow, identity_of
from tests.support.sink_records import a_label

LABELS = [a_label(Coordinates("frames.raw", 0, frame), frame_id=f"dock-1/1/{frame}") for frame in range(8)]


def answers(frames: list[int], size: int, start: int = 0) -> list[bool]:
    """The answers of a window that is read from `start` on."""
    window = RepeatWindow(size)
    return [window.is_repeat(offset, LABELS[frame]) for offset, frame in enumerate(frames) if offset >= start]


@given(st.lists(st.integers(0, 7)), st.integers(1, 12))
def test_a_repeat_is_what_came_within_the_window(frames: list[int], size: int) -> None:
    expected = [frame in frames[max(0, offset - size) : offset] for offset, frame in enumerate(frames)]
    assert answers(frames, size) == expected


@given(st.lists(st.integers(0, 7)), st.integers(1, 12), st.data())
def test_a_process_that_reads_the_window_again_gives_the_same_answers(
    frames: list[int], size: int, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(frames)))
    start = max(0, position - size)
    assert answers(frames, size, start)[position - start :] == answers(frames, size)[position:]


def test_every_part_of_the_identity_counts() -> None:
    source = Coordinates("frames.raw", 1, 7)
    others = [
        a_label(source, frame_id="dock-1/2/1"),
        a_label(source, replay_id="run-1"),
        a_label(Coordinates("frames.raw", 1, 8)),
        a_label(Coordinates("frames.raw", 2, 7)),
        a_label(Coordinates("frames.replay", 1, 7)),
        a_label(source, replay_id="run-1", revision=7),
        a_label(source, replay_id="run-1", revision=8),
        a_label(source),
    ]
    assert len({identity_of(label) for label in others}) == len(others)
    assert identity_of(a_label(source, model=LABELS[0].model, labelled_at=5)) == identity_of(a_label(source))


def test_the_window_forgets_what_lies_behind_it() -> None:
    window = RepeatWindow(10)
    for offset in range(1_000):
        window.is_repeat(offset, a_label(Coordinates("frames.raw", 0, offset)))
        assert len(window) <= 11
