"""The audit of a `frames.raw` that was made again, while the outcomes of the frames before are still there."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from schemas import codec
from schemas.coordinates import Coordinates
from schemas.headers import Failure, failure_headers
from tests.support.sink_records import a_frame
from tests.unit.sinks.audit.test_audit import FRAMES, Topics, audited, minute


def again(topics: Topics, frames: int, labelled: set[int], kept: int, gap_min: int = 10) -> None:
    """`frames.raw` had `kept` frames, all with labels. It was made again, with more frames, some of them labelled."""
    for number in range(kept):
        topics.label(number, minute(number), minute(number), frame_id=f"cam/1/{number}")
    for number in range(frames):
        at_ms = minute(kept + gap_min + number)
        frame = replace(a_frame(number), frame_id=f"cam/1/{1_000 + number}")
        topics.put(FRAMES, at_ms, codec.encode(frame))
    for number in sorted(labelled):
        at_ms = minute(kept + gap_min + number)
        topics.label(number, at_ms, at_ms, frame_id=f"cam/1/{1_000 + number}")


@pytest.mark.parametrize(
    "lost",
    [range(15), range(20, 35), range(185, 200), [*range(15), *range(40, 41), *range(60, 190)], []],
    ids=["the first", "in the middle", "the last", "here and there", "none"],
)
@pytest.mark.parametrize("kept", [0, 15, 200, 400])
def test_labels_of_an_earlier_topic_hide_no_frame_without_an_outcome(lost: Sequence[int], kept: int) -> None:
    topics = Topics()
    again(topics, 200, set(range(200)) - set(lost), kept)
    balance, notes = audited(topics)
    assert (balance.frames, balance.missing_count, balance.duplicates) == (200, len(lost), 0)
    assert [place.offset for place in balance.missing] == list(lost)[:100]
    hidden = len([offset for offset in lost if offset < kept])
    assert any(f"was made again: {hidden} frames" in note for note in notes) == bool(hidden)


def test_a_sound_day_is_proved_with_one_frame_of_each_partition() -> None:
    topics = Topics()
    again(topics, 500, set(range(500)), 0)
    assert audited(topics)[0].ok
    assert topics.read_offsets[FRAMES] == {0}


def test_a_dead_letter_of_another_frame_is_no_outcome_either() -> None:
    topics = Topics()
    failure = Failure(Coordinates(FRAMES, 0, 0), minute(0), "stream", "truncated", "half", 0)
    topics.put("frames.dead", minute(1), codec.encode(a_frame(7)), failure_headers(None, failure))
    topics.put(FRAMES, minute(50), codec.encode(a_frame(0)))
    balance, _ = audited(topics)
    assert (balance.frames, balance.dead, balance.missing_count) == (1, 0, 1)
    topics.put("frames.dead", minute(51), codec.encode(a_frame(0)), failure_headers(None, failure))
    balance, _ = audited(topics)
    assert (balance.frames, balance.dead, balance.duplicates, balance.ok) == (1, 1, 0, True)
