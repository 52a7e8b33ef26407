"""The retry lane's rules: when a frame is due, what its record says, how much is held."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from confluent_kafka import TopicPartition

from infra.failures.outcomes import FrameRecord, outcome_of
from infra.settings import RetrySettings, Settings
from schemas import headers
from schemas.coordinates import Coordinates
from schemas.errors import BadFrame
from schemas.headers import Failure
from streams.processor import Processor
from streams.retry.lane import Held, RetryLane, Waiting, due_ms, frame_of
from streams.stage.frames import Taken
from streams.watch.watchdog import Sight, Watchdog

SETTINGS = RetrySettings(delays_ms=(1_000, 30_000), max_held_frames=3, max_held_bytes=100)
ORIGIN = Coordinates("frames.raw", 3, 77)


def record(attempt: int = 0, value: bytes = b"frame") -> FrameRecord:
    return FrameRecord(ORIGIN, 5, b"cam", value, [], attempt)


def held(due: float, size: int = 1) -> Held:
    return Held(due, 0, int(due), 1, record(value=b"x" * size))


@pytest.mark.parametrize(("attempt", "expected"), [(1, 1_000), (2, 30_000), (9, 30_000), (0, 1_000)])
def test_each_attempt_has_its_tier(attempt: int, expected: int) -> None:
    assert due_ms(SETTINGS, 50, attempt, now_ms=60) == 50 + expected
    assert due_ms(SETTINGS, 10**12, attempt, now_ms=60) == 60 + expected, "a clock that goes wrong"


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


def message(found: list[tuple[str, bytes]], offset: int = 9) -> Any:
    made = Mock()
    made.error.return_value = None
    made.topic.return_value, made.partition.return_value, made.offset.return_value = "frames.retry", 1, offset
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
    assert (frame.source, frame.timestamp_ms, frame.attempt) == (Coordinates("frames.retry", 1, 9), 1234, 0)


class FakeConsumer:
    """Does what its script says, one step a poll: a message that it returns, or something that happens."""

    def __init__(self, partitions: list[int]) -> None:
        self.owned = partitions
        self.script: deque[Any] = deque()
        self.commits: list[tuple[int, int]] = []
        self.paused: set[int] = set()

    def subscribe(self, topics: list[str], *, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self.on_revoke = on_revoke

    def poll(self, timeout: float) -> Any:
        step = self.script.popleft() if self.script else None
        return step() if callable(step) and not isinstance(step, Mock) else step

    def revoke(self, partition: int) -> None:
        self.on_revoke(self, [TopicPartition("frames.retry", partition)])
        self.owned = [one for one in self.owned if one != partition]

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition("frames.retry", one) for one in self.owned]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {one.partition for one in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {one.partition for one in partitions}

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        self.commits += [(one.partition, one.offset) for one in offsets]

    def close(self) -> None:
        pass


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    made = FakeConsumer([0, 1])
    monkeypatch.setattr("streams.retry.lane.clients.consumer", lambda *_, **__: made)
    return made


def read(partition: int, offset: int, age_s: float) -> Any:
    made = message([], offset)
    made.partition.return_value = partition
    made.timestamp.return_value = (1, int((time.time() - age_s) * 1000))
    return made


def run_lane(consumer: FakeConsumer, max_held_frames: int, take: Callable[[Taken], None]) -> list[BaseException]:
    """Until the script is over, with what was finished committed; the errors it ended with."""
    errors: list[BaseException] = []
    settings = Settings(retry=RetrySettings(delays_ms=(60_000,), max_held_frames=max_held_frames))
    lane = RetryLane(settings, "live", take, lambda: True, errors.append)
    over = threading.Event()
    consumer.script.append(over.set)
    lane.start()
    assert over.wait(5)
    lane.close(5)
    return errors


def test_frames_of_partitions_that_stay_are_neither_forgotten_nor_passed_over(consumer: FakeConsumer) -> None:
    """As with cooperative assignment: partition 1 goes, and of partition 0 a frame is held and a later one done."""
    consumer.script += [read(0, 5, 0), read(1, 7, 0), lambda: consumer.revoke(1), read(0, 6, 3600)]
    done: list[int] = []

    def take(taken: Taken) -> None:
        done.append(taken.record.source.offset)
        taken.finish()

    assert run_lane(consumer, 10, take) == []
    assert done == [6]
    assert consumer.commits == []  # 0/5 has no outcome yet


def test_a_full_lane_leaves_no_partition_paused_that_goes(consumer: FakeConsumer) -> None:
    """The client would remember it, and never read the partition again once it is back."""
    paused: list[set[int]] = []
    consumer.script += [read(0, 5, 0), None, lambda: paused.append(set(consumer.paused)), lambda: consumer.revoke(0)]
    assert run_lane(consumer, 1, lambda _: None) == []
    assert paused == [{0, 1}]
    assert consumer.paused == set()


@pytest.fixture
def given(consumer: FakeConsumer) -> Iterator[tuple[RetryLane, queue.Queue[Taken]]]:
    """A retry lane whose topic holds a few frames, and where it puts what it gives to the stage."""
    consumer.script += [message([], offset) for offset in range(5)]
    taken: queue.Queue[Taken] = queue.Queue()
    failures: list[BaseException] = []
    lane = RetryLane(Settings(), "live", taken.put, lambda: True, failures.append)
    lane.start()
    yield lane, taken
    lane.close(5)
    assert failures == []


def test_a_stage_that_works_on_retried_frames_alone_is_not_stalled(
    given: tuple[RetryLane, queue.Queue[Taken]],
) -> None:
    lane, taken = given
    processor = Processor(Settings(), "live", Mock(), Mock())
    processor._stage, processor._retry = Mock(gate=Mock(frames=32)), lane
    processor._intake, processor._pool = Mock(partitions=frozenset({0})), Mock(steps=3)
    processor._app = Mock(commits=Mock(commits=7, uncommitted=0))  # live cameras are quiet
    dog = Watchdog(3_000)

    def look(now_ms: float) -> str | None:
        view = processor._view()
        return dog.stalled(Sight(view.taken, view.uncommitted, 0, view.commits, view.steps, may_wait=False), now_ms)

    for second in range(5):
        taken.get(timeout=10).finish()
        assert look(second * 1_000) is None
    assert [look(second * 1_000) is None for second in (5, 6, 7)] == [True, True, False], "and now it is"


@pytest.mark.parametrize("number", [b"--5", b"9" * 5000])
def test_a_record_with_numbers_that_are_none_is_its_own_origin(number: bytes) -> None:
    found = headers.failure_headers(None, Failure(ORIGIN, 42, "infer", "MemoryError", "no room", 2))
    broken = [(name, number if value.isdigit() else value) for name, value in found]
    frame = frame_of(message(broken))
    assert (frame.source, frame.timestamp_ms, frame.attempt) == (Coordinates("frames.retry", 1, 9), 1234, 0)
