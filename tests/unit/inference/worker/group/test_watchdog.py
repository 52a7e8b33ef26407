"""When a worker counts as stalled, and small decisions of its wiring."""

import json

import pytest
from confluent_kafka import KafkaError, KafkaException

from inference.models import describe_model, load_model
from inference.worker.command import tell, warm_sizes
from inference.worker.group.clients import STANDBY_MS, STATISTICS_MS, membership, stands_by, transactional_id
from inference.worker.group.watchdog import MIN_PATIENCE_MS, GroupWatch, Hunger, Place, Watchdog
from infra.kafka.group_offsets import Offsets
from infra.process.lifecycle import Stop
from infra.settings import InferSettings
from schemas.errors import ConfigError, Stalled

T = 60_000  # the stall time-out
STEP_MS = 1_000


class Look:
    """A watchdog over a worker that the test describes; `after` looks once a second, as long as it is told."""

    def __init__(self) -> None:
        self.waits, self.progress_s, self.now_ms = False, 0.0, 0
        self.unfed: str | None = None
        self.dog = Watchdog(lambda: self.waits, lambda: self.progress_s, lambda: self.unfed, T, Stop())
        self.dog.look(0)

    def after(self, ms: int) -> str | None:
        """The first thing that it says within that time."""
        for _ in range(ms // STEP_MS):
            self.now_ms += STEP_MS
            if reason := self.dog.look(self.now_ms):
                return reason
        return None


def test_only_work_that_waits_without_a_commit_is_a_stall() -> None:
    look = Look()
    assert look.after(10 * T) is None, "nothing to do is no stall, however long"
    look.waits = True
    assert look.after(T) is None
    look.progress_s = 1.0
    assert look.after(T) is None
    assert look.after(2 * STEP_MS) == "frames wait and nothing was committed for 61 s"
    look.waits = False
    assert look.after(STEP_MS) is None
    look.waits = True
    assert look.after(T - STEP_MS) is None


def test_a_frozen_worker_has_its_time_when_it_wakes() -> None:
    look = Look()
    look.waits = True
    assert look.after(STEP_MS) is None
    for _ in range(2):
        look.now_ms += 3_600_000
        assert look.after(T - 10 * STEP_MS) is None
        look.progress_s += 1
    assert look.after(T + 2 * STEP_MS) is not None, "one that stays stuck is ended all the same"


def test_what_the_group_tells_ends_the_worker_too() -> None:
    look = Look()
    look.unfed = "micro-batches wait"
    assert look.after(STEP_MS) == "micro-batches wait"


class Group(Hunger):
    """A rule, and answers of the broker that the test describes: partitions 0 and 1 with three records each."""

    def __init__(self, skips: bool = False) -> None:
        super().__init__(T, skips)
        self.committed, self.ends = {0: 0, 1: 0}, {0: 3, 1: 3}
        self.now_ms = 0

    def after(self, ms: int, *owned: int, outside: bool = False, progress_s: float = 0.0) -> str | None:
        place = Place(frozenset(owned), outside, progress_s)
        for _ in range(ms // STEP_MS):
            self.now_ms += STEP_MS
            if reason := self.look(place, Offsets(dict(self.committed), dict(self.ends)), self.now_ms):
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
    assert group.after(T, 1, progress_s=1.0) is None
    assert group.after(T, 0, 1, progress_s=1.0) is None
    assert group.after(T, progress_s=1.0) is None, "it stands by from now on"


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
    assert group.after(2 * T, outside=True) is None
    assert group.after(STEP_MS) is None
    assert group.after(2 * T, outside=True) is None
    assert group.after(STEP_MS, outside=True) == "Kafka answers and the worker has not found its group for 121 s"


def test_a_short_time_out_leaves_time_to_learn_that_one_stands_by() -> None:
    hunger, place = Hunger(3_000), Place(frozenset(), True, 0.0)
    looks = [hunger.look(place, Offsets({}, {}), now_ms) for now_ms in range(0, MIN_PATIENCE_MS + 1, STEP_MS)]
    assert STANDBY_MS + 2 * STATISTICS_MS < MIN_PATIENCE_MS
    assert set(looks) == {None}


def test_what_the_group_passed_over_does_not_wait() -> None:
    group = Group(skips=True)
    assert group.after(10 * T, 0, 1) is None
    assert group.after(10 * T) is None


class Broker:
    """Answers that a lot waits, or not at all."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def ask(self, timeout_s: float) -> Offsets:
        if self.error is not None:
            raise self.error
        return Offsets({0: 0}, {0: 9})


@pytest.mark.parametrize(
    "error", [KafkaException(KafkaError(KafkaError._TRANSPORT)), TimeoutError(), KeyError("topic")]
)
def test_a_broker_that_does_not_answer_is_no_stall(error: Exception) -> None:
    broker = Broker()
    watch = GroupWatch(broker, lambda: Place(frozenset({0}), False, 0.0), Hunger(T))

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


@pytest.mark.parametrize(("largest", "sizes"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (32, (1, 2, 4, 8, 16, 32))])
def test_sizes_that_are_warmed(largest: int, sizes: tuple[int, ...]) -> None:
    assert warm_sizes(largest) == sizes


def test_session_and_assignment_are_the_brokers_business_with_kip_848() -> None:
    settings = InferSettings(group_instance_id="gpu-0")
    keys = membership(settings)
    assert keys["group.protocol"] == "consumer"
    assert keys["group.instance.id"] == "gpu-0"
    assert not keys.keys() & {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"}
    classic = membership(InferSettings(group_protocol="classic"))
    assert classic["partition.assignment.strategy"] == "cooperative-sticky"
    assert classic["session.timeout.ms"] >= 3 * classic["heartbeat.interval.ms"]


def test_transactional_ids_are_stable_where_the_instance_has_a_name() -> None:
    assert transactional_id(InferSettings(group_instance_id="gpu-0"), "g") == "g-gpu-0"
    assert transactional_id(InferSettings(transactional_id="t", group_instance_id="gpu-0"), "g") == "g-t"
    assert transactional_id(InferSettings(), "g") != transactional_id(InferSettings(), "g")


def test_a_model_of_ones_own_is_named_by_its_factory() -> None:
    assert load_model("tests.support.models:Failing", InferSettings()).ref == describe_model("null").ref
    assert describe_model("tests.support.models:Failing") == describe_model("null")


@pytest.mark.parametrize("spec", ["tests.support.models:Nothing", "no.such.module:Model", "os:path", ":"])
def test_a_spec_that_leads_nowhere_is_named(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"infer\.model"):
        load_model(spec, InferSettings())


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ({"state": "up", "stateage": STANDBY_MS, "assignment_size": 0}, True),
        ({"state": "up", "stateage": STANDBY_MS - 1, "assignment_size": 0}, False),
        ({"state": "up", "stateage": STANDBY_MS, "assignment_size": 3}, False),
        ({"state": "wait-coord", "stateage": STANDBY_MS, "assignment_size": 0}, False),
    ],
)
def test_a_member_without_a_share_stands_by(group: dict[str, object], expected: bool) -> None:
    assert stands_by(json.dumps({"name": "sightline#consumer-1", "cgrp": group})) is expected


def test_statistics_before_the_group_is_joined_say_nothing() -> None:
    assert not stands_by(json.dumps({"name": "sightline#consumer-1"}))


def test_a_process_that_cannot_unwind_says_why_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(None) == 0
    assert capsys.readouterr().err == ""
    assert tell(Stalled("nothing moves")) == 1
    assert capsys.readouterr().err == "sightline: nothing moves\n"
    assert tell(RuntimeError("a defect")) == 1
    assert "RuntimeError: a defect" in capsys.readouterr().err
