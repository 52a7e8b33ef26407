"""When a worker counts as stalled, and small decisions of its wiring."""

import json

import pytest

from inference.models import describe_model, load_model
from inference.watchdog import Watchdog
from inference.worker import tell, warm_sizes
from inference.worker_clients import STANDBY_MS, membership, stands_by, transactional_id
from infra.lifecycle import Stop
from infra.settings import InferSettings
from schemas.errors import ConfigError, Stalled


def test_only_work_that_waits_without_a_commit_is_a_stall() -> None:
    state = {"waits": False, "progress_s": 0.0}
    watchdog = Watchdog(lambda: bool(state["waits"]), lambda: state["progress_s"], 10_000, Stop())
    assert watchdog.look(1_000) is None  # nothing to do is no stall, however long
    state["waits"] = True
    assert watchdog.look(2_000) is None  # it waits since now
    assert watchdog.look(2_009) is None
    assert watchdog.look(2_011) == "frames wait and nothing was committed for 11 s"
    state["progress_s"] = 2_011
    assert watchdog.look(2_012) is None
    state["waits"] = False
    assert watchdog.look(2_013) is None
    state["waits"] = True
    assert watchdog.look(2_030) is None


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
