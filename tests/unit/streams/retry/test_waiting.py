"""Frames that wait to be tried again: when each is due, what its record says, how much is held."""

import pytest

from infra.failures.outcomes import FrameRecord, outcome_of
from infra.kafka.groups import Ticket
from infra.kafka.records import ConsumedRecord
from infra.settings import RetrySettings
from schemas import headers
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import BadFrame
from schemas.headers import Failure, RawHeaders
from streams.retry.waiting import HeldFrame, WaitingFrames, due_ms, retried_frame

SETTINGS = RetrySettings(delays_ms=(1_000, 30_000), max_held_frames=3, max_held_bytes=100)
ORIGIN = Coordinates("frames.raw", 3, 77)


def frame(attempt: int = 0, value: bytes = b"frame") -> FrameRecord:
    return FrameRecord(ORIGIN, 5, b"cam", value, [], attempt)


def held(due: float, size: int = 1, partition: int = 0, offset: int = 0) -> HeldFrame:
    ticket = Ticket[Coordinates | None](TopicPartition("frames.retry", partition), offset, 1, None)
    return HeldFrame(due, partition, offset, ticket, frame(value=b"x" * size))


def record(found: RawHeaders) -> ConsumedRecord:
    return ConsumedRecord("frames.retry", 1, 9, 1234, b"cam", b"frame", found)


@pytest.mark.parametrize(("attempt", "expected"), [(1, 1_000), (2, 30_000), (9, 30_000), (0, 1_000)])
def test_each_attempt_has_its_tier(attempt: int, expected: int) -> None:
    assert due_ms(SETTINGS, 50, attempt, now_ms=60) == 50 + expected
    assert due_ms(SETTINGS, 10**12, attempt, now_ms=60) == 60 + expected, "the writer's clock is wrong"


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
    assert outcome_of(SETTINGS, frame(attempt), error) == outcome


def test_frames_come_out_when_due_and_earliest_first() -> None:
    waiting = WaitingFrames(SETTINGS)
    for due in (300, 100, 200):
        waiting.add(held(due))
    assert waiting.take_due(99) is None
    found = [waiting.take_due(1000) for _ in range(3)]
    assert [one.due_ms for one in found if one] == [100, 200, 300]
    assert waiting.take_due(1000) is None


def test_frames_of_one_moment_come_out_in_the_order_of_their_records() -> None:
    waiting = WaitingFrames(SETTINGS)
    for offset in (7, 5, 6):
        waiting.add(held(100, offset=offset))
    assert [one.offset for one in (waiting.take_due(100) for _ in range(3)) if one] == [5, 6, 7]


def test_it_is_full_by_count_or_by_bytes() -> None:
    waiting = WaitingFrames(SETTINGS)
    for due in range(3):
        assert not waiting.is_full()
        waiting.add(held(due))
    assert waiting.is_full()
    waiting.take_due(0)
    assert not waiting.is_full()
    waiting.add(held(9, size=100))
    assert waiting.is_full()


def test_frames_of_a_partition_that_went_are_dropped_with_their_bytes() -> None:
    waiting = WaitingFrames(SETTINGS)
    waiting.add(held(1, size=99, partition=0))
    waiting.add(held(2, size=1, partition=1))
    assert waiting.is_full()
    waiting.drop([TopicPartition("frames.retry", 0)])
    assert (len(waiting), waiting.is_full()) == (1, False)
    left = waiting.take_due(10)
    assert left is not None and left.partition == 1


def test_a_retried_frame_has_the_coordinates_of_its_origin() -> None:
    found = headers.failure_headers(
        [(headers.REPLAY_ID, b"r1")], Failure(ORIGIN, 42, "infer", "MemoryError", "no room", 2)
    )
    retried = retried_frame(record(found))
    assert (retried.source, retried.timestamp_ms, retried.attempt) == (ORIGIN, 42, 2)
    assert headers.replay_id_of(retried.headers) == "r1"


def test_a_record_that_was_written_by_hand_is_its_own_origin() -> None:
    retried = retried_frame(record([]))
    assert (retried.source, retried.timestamp_ms, retried.attempt) == (Coordinates("frames.retry", 1, 9), 1234, 0)


@pytest.mark.parametrize("number", [b"--5", b"9" * 5000])
def test_a_record_with_numbers_that_are_none_is_its_own_origin(number: bytes) -> None:
    found = headers.failure_headers(None, Failure(ORIGIN, 42, "infer", "MemoryError", "no room", 2))
    broken = [(name, number if value.isdigit() else value) for name, value in found]
    retried = retried_frame(record(broken))
    assert (retried.source, retried.timestamp_ms, retried.attempt) == (Coordinates("frames.retry", 1, 9), 1234, 0)
