"""The consumer of the retry topic: what it commits, when it pauses, what a rebalance makes it forget."""

import queue
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from prometheus_client import REGISTRY

from infra.kafka.consumer import PartitionFault
from infra.kafka.errors import FaultKind, KafkaFault
from infra.kafka.topics import Lane
from infra.settings import Settings
from schemas import headers
from schemas.coordinates import Coordinates
from schemas.errors import Stalled
from schemas.headers import Failure
from streams.processor import Heartbeat, stage_progress
from streams.retry.consumer import RetryConsumer
from streams.stage.frames import PendingFrame
from streams.watch.progress_rule import ProgressRule, WatchdogInput
from tests.support.retry_run import P0, P1, FakeConsumer, FakeInputs, Run, record


def test_frames_of_partitions_that_stay_are_neither_forgotten_nor_passed_over(consumer: FakeConsumer) -> None:
    """As with cooperative assignment: partition 1 goes; of partition 0 a frame is held and a later one is done."""
    consumer.script += [record(0, 5, 0), record(1, 7, 0), lambda: consumer.revoke(P1), record(0, 6, 3600)]
    run = Run(consumer).until_over()
    assert (run.errors, run.offsets()) == ([], [6])
    assert consumer.commits == [], "offset 5 has no outcome yet"


def test_a_partition_without_a_record_gets_a_committed_offset(
    consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.kafka.holding_member.COMMIT_S", 0.0)
    consumer.offsets[P1] = -1001
    consumer.script += [lambda: time.sleep(0.05)] * 10
    assert Run(consumer).until_over().errors == []
    assert consumer.commits == [(P1, 0)]


def test_what_is_finished_is_committed_when_its_partition_goes_without_waiting_for_the_answer(
    consumer: FakeConsumer,
) -> None:
    consumer.answers = False
    consumer.script += [record(0, 5, 3600), None, lambda: consumer.revoke(P0)]
    assert Run(consumer).until_over().errors == []
    assert consumer.asked[-1] == {P0: 6}
    assert consumer.commits == [], "it was given away before"


def test_of_a_partition_that_was_lost_nothing_is_committed(consumer: FakeConsumer) -> None:
    run = Run(consumer, finish=False)
    consumer.script += [record(0, 5, 3600), None, lambda: consumer.lose(P0), lambda: run.taken[0].finish()]  # noqa: PLW0108
    assert run.until_over().errors == []
    assert consumer.commits == []


def test_a_frame_that_is_finished_after_its_partition_went_and_came_back_counts_no_more(
    consumer: FakeConsumer,
) -> None:
    run = Run(consumer, finish=False)
    consumer.script += [
        record(0, 5, 3600), None, lambda: consumer.revoke(P0), lambda: consumer.rebalance.on_assign([P0]),
        record(0, 5, 3600), None, lambda: run.taken[0].finish(),  # noqa: PLW0108
    ]  # fmt: skip
    assert run.until_over().errors == []
    assert (len(run.taken), consumer.commits) == (2, [])


@pytest.mark.parametrize("kind", [FaultKind.PASSING, FaultKind.OTHER])
def test_a_commit_that_failed_is_tried_again_and_counted(consumer: FakeConsumer, kind: FaultKind) -> None:
    name, labels = "sightline_commit_failures_total", {"stage": "retry", "reason": kind.name.lower()}
    before = value(name, **labels)
    consumer.refused.append(KafkaFault(kind, "_TRANSPORT", "no broker"))
    consumer.script += [record(0, 5, 3600), None, None, None]
    assert Run(consumer).until_over().errors == []
    assert consumer.commits == [(P0, 6)]
    assert value(name, **labels) - before == 1


def test_a_commit_without_an_answer_is_not_sent_again_and_again(
    consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.kafka.holding_member.COMMIT_S", 0.0)
    consumer.answers = False
    consumer.script += [record(0, 5, 3600), *[None] * 20]
    assert Run(consumer).until_over().errors == []
    assert consumer.asked == [{P0: 6}]


def test_a_full_consumer_is_paused_until_it_has_room(consumer: FakeConsumer) -> None:
    paused: list[bool] = []
    look: Callable[[], None] = lambda: paused.append(consumer.is_paused)  # noqa: E731
    consumer.script += [look, record(0, 5, 0), None, look, lambda: consumer.revoke(P0), look]
    assert Run(consumer, max_held_frames=1).until_over().errors == []
    assert paused == [False, True, False]


@pytest.mark.parametrize(("lane", "taken"), [("live", [4, 7]), ("replay", [3])])
def test_a_frame_of_the_other_lane_is_left_to_it(consumer: FakeConsumer, lane: Lane, taken: list[int]) -> None:
    for offset, topic in ((5, "frames.replay"), (6, "frames.raw")):
        origin = Failure(Coordinates(topic, 0, offset - 2), 42, "infer", "MemoryError", "no room", 1)
        consumer.script.append(record(0, offset, 3600, headers.failure_headers((), origin)))
    run = Run(consumer, lane=lane)
    consumer.script.append(record(0, 7, 3600))  # written by hand, without an origin
    assert (run.until_over().errors, run.offsets(), consumer.commits) == ([], taken, [(P0, 8)])


@pytest.mark.parametrize(("kind", "ends"), [(FaultKind.FATAL, True), (FaultKind.GONE, False)])
def test_only_a_fatal_error_of_the_client_ends_it(consumer: FakeConsumer, kind: FaultKind, ends: bool) -> None:
    consumer.script += [PartitionFault(P0, KafkaFault(kind, "NAME", "the reason")), record(0, 5, 3600)]
    run = Run(consumer).until_over()
    assert [type(error) for error in run.errors] == ([Stalled] if ends else [])
    assert run.offsets() == ([] if ends else [5])


@pytest.fixture
def given(consumer: FakeConsumer) -> Iterator[tuple[RetryConsumer, "queue.Queue[PendingFrame]"]]:
    """A retry consumer whose topic holds a few frames, and the queue in which it puts what it gives to the stage."""
    consumer.script += [record(1, offset, 3600) for offset in range(5)]
    taken: queue.Queue[PendingFrame] = queue.Queue()
    failures: list[BaseException] = []
    retry = RetryConsumer(Settings(), "live", FakeInputs(taken.put), failures.append)
    retry.start()
    yield retry, taken
    retry.close(5)
    assert failures == []


def test_a_stage_that_works_on_retried_frames_alone_is_not_stalled(
    given: tuple[RetryConsumer, "queue.Queue[PendingFrame]"],
) -> None:
    retry, taken = given
    stage: Any = Mock(gate=Mock(frames=32))
    commits: Any = Mock(commits=7, uncommitted=0)  # live cameras are quiet
    pool: Any = Mock(steps=3)
    intake: Any = Mock(partitions=frozenset({0}))
    rule = ProgressRule(3_000)

    def look(now_ms: float) -> str | None:
        seen = stage_progress(stage, commits, retry, pool, intake, Heartbeat())
        return rule.stalled(WatchdogInput(seen.taken, seen.uncommitted, 0, seen.commits, seen.steps, False), now_ms)

    for second in range(5):
        taken.get(timeout=10).finish()
        assert look(second * 1_000) is None
    assert [look(second * 1_000) is None for second in (5, 6, 7)] == [True, True, False], "and now it is"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_retries_that_were_gone_before_they_were_read_are_counted(consumer: FakeConsumer) -> None:
    name = "sightline_retry_skipped_offsets_total"
    before = value(name)
    consumer.offsets, consumer.log_start = {P0: 2, P1: 5}, 5

    def wait() -> None:
        time.sleep(0.05)  # another thread asks the broker

    consumer.script += [None, wait, None, record(0, 5, 3600), record(0, 7, 3600), None, wait, None]
    run = Run(consumer).until_over()
    assert run.errors == []
    assert value(name) - before == 3, "2, 3 and 4; 6 is a transaction marker"


def test_the_time_of_the_newest_finished_frame_is_that_of_the_frame(consumer: FakeConsumer) -> None:
    origin = Failure(Coordinates("frames.raw", 3, 9), 1_764_000_000_000, "infer", "ModelError", "no answer", 1)
    consumer.script += [record(0, 5, 3600, headers.failure_headers((), origin)), None]
    run = Run(consumer).until_over()
    assert run._retry.progress.newest_ms() == {P0: 1_764_000_000_000}
