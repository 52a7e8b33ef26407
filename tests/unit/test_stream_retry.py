"""The retry lane's rules: when a frame is due, what its record says, how much is held."""

from typing import Any
from unittest.mock import Mock

import pytest

from infra.outcomes import FrameRecord, outcome_of
from infra.settings import RetrySettings
from schemas import headers
from schemas.errors import BadFrame
from schemas.headers import Failure
from schemas.records import SourceRef
from streams.retry import Held, Waiting, due_ms, frame_of

SETTINGS = RetrySettings(delays_ms=(1_000, 30_000), max_held_frames=3, max_held_bytes=100)
ORIGIN = SourceRef("frames.raw", 3, 77)


def record(attempt: int = 0, value: bytes = b"frame") -> FrameRecord:
    return FrameRecord(ORIGIN, 5, b"cam", value, [], attempt)


def held(due: float, size: int = 1) -> Held:
    return Held(due, 0, int(due), 1, record(value=b"x" * size))


@pytest.mark.parametrize(("attempt", "expected"), [(1, 1_000), (2, 30_000), (9, 30_000), (0, 1_000)])
def test_each_attempt_has_its_tier(attempt: int, expected: int) -> None:
    assert due_ms(SETTINGS, 50, attempt) == 50 + expected


@pytest.mark.parametrize(
    ("attempt", "error", "outcome"),
    [
        (0, MemoryError(), "retry"),
        (1, MemoryError(), "retry"),
        (2, MemoryError(), "dead"),
        (0, BadFrame("truncated"), "dead"),
    ],
)
def test_what_may_pass_is_tried_again_until_the_last_tier(attempt: int, error: Exception, outcome: str) -> None:
    assert outcome_of(SETTINGS, record(attempt), error) == outcome


def test_frames_come_out_when_due_and_earliest_first() -> None:
    waiting = Waiting(SETTINGS)
    for due in (300, 100, 200):
        waiting.add(held(due))
    assert waiting.take_due(99) is None
    found = [waiting.take_due(1000) for _ in range(3)]
    assert [one.due_ms for one in found if one] == [100, 200, 300]
    assert waiting.take_due(1000) is None


def test_it_is_full_by_count_or_by_bytes() -> None:
    waiting = Waiting(SETTINGS)
    for due in range(3):
        assert not waiting.is_full()
        waiting.add(held(due))
    assert waiting.is_full()
    waiting.take_due(0)
    assert not waiting.is_full()
    waiting.add(held(9, size=100))
    assert waiting.is_full()


def message(found: list[tuple[str, bytes]]) -> Any:
    made = Mock()
    made.topic.return_value, made.partition.return_value, made.offset.return_value = "frames.retry", 1, 9
    made.timestamp.return_value = (1, 1234)
    made.key.return_value, made.value.return_value, made.headers.return_value = b"cam", b"frame", found
    return made


def test_a_retried_frame_has_the_coordinates_of_its_origin() -> None:
    found = headers.failure_headers(
        [(headers.REPLAY_ID, b"r1")], Failure(ORIGIN, 42, "infer", "MemoryError", "no room", 2)
    )
    frame = frame_of(message(found))
    assert (frame.source, frame.timestamp_ms, frame.attempt) == (ORIGIN, 42, 2)
    assert headers.replay_id_of(frame.headers) == "r1"


def test_a_frame_put_there_by_hand_is_its_own_origin() -> None:
    frame = frame_of(message([]))
    assert (frame.source, frame.timestamp_ms, frame.attempt) == (SourceRef("frames.retry", 1, 9), 1234, 0)
