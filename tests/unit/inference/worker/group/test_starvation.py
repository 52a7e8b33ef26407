"""When a worker that gets no records counts as stalled."""

from collections.abc import Collection

import pytest
from confluent_kafka import KafkaError, KafkaException

from inference.worker.group.starvation import MIN_PATIENCE_MS, GroupWatch, MemberView, StarvationRule
from infra.kafka.group_offsets import Offsets
from infra.kafka.own_partitions import OwnPartitions
from infra.kafka.statistics import STANDBY_MS, STATISTICS_MS

T = 60_000  # the stall time-out
STEP_MS = 1_000


class Group(StarvationRule):
    """A rule, and answers of the broker that the test describes: partitions 0 and 1 with three records each."""

    def __init__(self) -> None:
        super().__init__(T)
        self.committed, self.ends = {0: 0, 1: 0}, {0: 3, 1: 3}
        self.now_ms = 0

    def after(self, ms: int, *owned: int, is_outside: bool = False, last_commit_s: float = 0.0) -> str | None:
        member = MemberView(frozenset(owned), is_outside, last_commit_s)
        for _ in range(ms // STEP_MS):
            self.now_ms += STEP_MS
            if reason := self.look(member, Offsets(dict(self.committed), dict(self.ends)), self.now_ms):
                return reason
        return None


def test_an_owner_that_is_never_fed_is_ended() -> None:
    group = Group()
    assert group.after(T, 1) is None
    assert group.after(2 * STEP_MS, 1) == "3 micro-batches wait for this worker and nothing was committed for 61 s"


def test_an_owner_with_nothing_to_read_is_not() -> None:
    group = Group()
    group.committed[1] = 3
    assert group.after(10 * T, 1) is None, "what waits elsewhere is not its business"


def test_a_commit_or_another_share_gives_an_owner_its_full_time() -> None:
    group = Group()
    assert group.after(T, 1) is None
    assert group.after(T, 1, last_commit_s=1.0) is None
    assert group.after(T, 0, 1, last_commit_s=1.0) is None
    assert group.after(T, last_commit_s=1.0) is None, "it stands by from now on"


def test_what_others_commit_in_its_partitions_does_not_help_an_owner() -> None:
    group = Group()
    for _ in range(T // STEP_MS + 1):
        assert group.after(STEP_MS, 0) is None
        group.committed[0] += 1
        group.ends[0] += 1
    assert group.after(STEP_MS, 0) is not None


def test_a_worker_that_stands_by_is_not_ended_while_somebody_commits() -> None:
    group = Group()
    for _ in range(10):
        assert group.after(T) is None
        group.committed[0] += 1
        group.ends[0] += 1
    group.committed = dict(group.ends)
    assert group.after(10 * T) is None, "nothing waits"


def test_a_worker_without_a_partition_is_ended_where_nobody_consumes_after_whoever_has_one() -> None:
    group = Group()
    assert group.after(2 * T) is None
    reason = group.after(2 * STEP_MS)
    assert reason is not None
    assert reason.startswith("6 micro-batches wait for the group, this worker has no partition")


def test_a_worker_that_does_not_find_its_group_is_ended_though_others_consume() -> None:
    group = Group()
    group.committed = dict(group.ends)
    assert group.after(2 * T, is_outside=True) is None
    assert group.after(STEP_MS) is None
    assert group.after(2 * T, is_outside=True) is None
    assert group.after(STEP_MS, is_outside=True) == "Kafka answers and the worker has not found its group for 121 s"


def test_a_short_time_out_leaves_time_to_learn_that_one_stands_by() -> None:
    rule, member = StarvationRule(3_000), MemberView(frozenset(), True, 0.0)
    looks = [rule.look(member, Offsets({}, {}), now_ms) for now_ms in range(0, MIN_PATIENCE_MS + 1, STEP_MS)]
    assert STANDBY_MS + 2 * STATISTICS_MS < MIN_PATIENCE_MS
    assert set(looks) == {None}


class Broker:
    """Answers that a lot waits, or not at all."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def ask(self, timeout_s: float, partitions: Collection[int] | None = None) -> Offsets:
        if self.error is not None:
            raise self.error
        return Offsets({0: 0}, {0: 9})


@pytest.mark.parametrize(
    "error", [KafkaException(KafkaError(KafkaError._TRANSPORT)), TimeoutError(), KeyError("topic")]
)
def test_a_broker_that_does_not_answer_is_no_stall(error: Exception) -> None:
    broker = Broker()
    watch = GroupWatch(
        broker, lambda: MemberView(frozenset({0}), False, 0.0), StarvationRule(T), OwnPartitions("workers", "batches")
    )

    def look(from_ms: int, to_ms: int) -> str | None:
        for now_ms in range(from_ms, to_ms, STEP_MS):
            watch.look(now_ms)
        return watch.reason

    assert look(0, T // 2) is None
    broker.error = error
    assert look(T // 2, 10 * T) is None
    broker.error = None
    assert look(10 * T, 10 * T + T // 3) is None, "the time without an answer does not count"
    assert look(10 * T + T // 3, 11 * T) is not None


def test_an_owner_that_was_frozen_has_its_time_when_it_wakes() -> None:
    group = Group()
    assert group.after(T // 2, 0) is None
    group.now_ms += 3_600_000
    assert group.after(T // 3, 0) is None
