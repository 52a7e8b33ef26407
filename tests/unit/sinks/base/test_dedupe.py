"""A repeat is recognised within the window, a first label is never called a repeat, memory is bounded."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.base.dedupe import Deduplicator

WINDOW = 64
coordinates = st.tuples(
    st.sampled_from(["frames.raw", "frames.replay"]),
    st.integers(0, 2),
    st.integers(0, 400),
    st.sampled_from([None, "run-1", "run-2"]),
)


@given(st.lists(coordinates, max_size=300))
def test_agrees_with_a_set_within_the_window_and_never_drops_a_first_label(
    arrivals: list[tuple[str, int, int, str | None]],
) -> None:
    dedupe = Deduplicator(window_offsets=WINDOW)
    seen: set[tuple[str, int, int, str | None]] = set()
    highest: dict[tuple[str, int, str | None], int] = {}
    for topic, partition, offset, replay_id in arrivals:
        key = (topic, partition, replay_id)
        in_window = offset > highest.get(key, offset) - WINDOW
        before = (topic, partition, offset, replay_id) in seen
        first = dedupe.is_first(topic, partition, offset, replay_id)
        if in_window:
            assert first is not before
        else:
            assert first, "what cannot be told passes"
        seen.add((topic, partition, offset, replay_id))
        highest[key] = max(highest.get(key, offset), offset)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=50, unique=True))
def test_every_first_label_passes_however_far_apart(offsets: list[int]) -> None:
    dedupe = Deduplicator(window_offsets=WINDOW)
    assert all(dedupe.is_first("frames.raw", 0, offset) for offset in offsets)


def test_a_crash_that_writes_a_thousand_labels_again_is_recognised() -> None:
    dedupe = Deduplicator()
    stream = [*range(5_000), *range(4_000, 6_000)]
    passed = [offset for offset in stream if dedupe.is_first("frames.raw", 3, offset)]
    assert passed == list(range(6_000))
    assert (dedupe.repeats, dedupe.beyond_window) == (1_000, 0)


def test_what_lies_beyond_the_window_passes_and_is_counted() -> None:
    dedupe = Deduplicator(window_offsets=8)
    assert [dedupe.is_first("t", 0, offset) for offset in (0, 8, 0)] == [True, True, True]
    assert dedupe.beyond_window == 1


def test_the_same_frame_in_a_replay_is_another_label() -> None:
    dedupe = Deduplicator()
    assert [dedupe.is_first("t", 0, 7, run) for run in (None, "a", "b", "a", None)] == [True, True, True, False, False]


def test_frames_of_a_topic_that_was_made_again_are_others_at_the_same_places() -> None:
    dedupe = Deduplicator()
    old = [dedupe.is_first("t", 0, offset, frame_id=f"cam/1/{offset}") for offset in range(300)]
    new = [dedupe.is_first("t", 0, offset, frame_id=f"cam/1/{offset + 400}") for offset in range(300)]
    again = [dedupe.is_first("t", 0, offset, frame_id=f"cam/1/{offset + 400}") for offset in range(300)]
    assert (all(old), all(new), any(again)) == (True, True, False)


def test_memory_stays_bounded_over_any_number_of_replays() -> None:
    dedupe = Deduplicator(window_offsets=64, max_partitions=10)
    for run in range(1_000):
        assert dedupe.is_first("t", 0, 5, f"run-{run}")
    assert len(dedupe._windows) == 10
    assert not dedupe.is_first("t", 0, 5, "run-999")
    windows = dedupe._windows.values()
    assert sum(sys.getsizeof(window._bits) + sys.getsizeof(window._frames) for window in windows) < 10 * 512


@pytest.mark.parametrize(("window", "partitions"), [(0, 1), (1, 0)])
def test_refuses_a_size_of_nothing(window: int, partitions: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Deduplicator(window, partitions)


def test_a_correction_is_no_repeat_of_what_it_corrects_and_has_repeats_of_its_own() -> None:
    dedupe = Deduplicator()
    given = [(None, 0), ("run-1", 7), ("run-1", 7), ("run-1", 8), (None, 0)]
    answers = [dedupe.is_first("frames.raw", 0, 5, replay_id, "cam/1/5", revision) for replay_id, revision in given]
    assert answers == [True, True, False, True, False]
