"""Every call of every client fails, one after the other: at the 1st call, the 2nd after that, the 3rd, ..."""

import sys
import time
from pathlib import Path

import pytest

from tests.faults.conftest import RigMaker
from tests.faults.launcher import Plan
from tests.faults.rig import Rig
from tests.support.runner import COMMAND

# Enough for every distance between failures in a steady state, in which the calls repeat after a few.
FAILURES = 8
POINT_S = 8.0
START_S = 60.0
# This point is tested twice: it fails while the process runs, and again at its start.
AT_THE_START_TOO = "admin.list_topics"
STALL = {"SIGHTLINE_STREAM__STALL_TIMEOUT_MS": "10000", "SIGHTLINE_INFER__STALL_TIMEOUT_MS": "10000"}

BOTH = ("producer.produce", "producer.poll", "producer.report")
OFFSETS = ("admin.list_topics", "admin.list_offsets", "consumer.committed")
STREAM = (*BOTH, "aiokafka.send", "consumer.poll", "consumer.subscribe", *OFFSETS)
STREAM_REDIS = ("redis_async.connect", "redis_async.send_packed_command", "redis_async.read_response")
INFER = (*BOTH, "consumer.poll", "consumer.commit", "consumer.subscribe", *OFFSETS)
INFER_REDIS = ("redis.connect", "redis.send_packed_command", "redis.read_response")
TRANSACTIONS = (
    "producer.produce",
    "consumer.poll",
    "producer.init_transactions",
    "producer.begin_transaction",
    "producer.send_offsets_to_transaction",
    "producer.commit_transaction",
)


@pytest.mark.timeout(600)
def test_stream(make_rig: RigMaker, tmp_path: Path) -> None:
    rig = make_rig("fail the Nth call of every client of the stream process", **STALL)
    plan = start(rig, "stream", tmp_path)
    harm(rig, "stream", plan, (*STREAM, *STREAM_REDIS))


@pytest.mark.timeout(600)
def test_worker(make_rig: RigMaker, tmp_path: Path) -> None:
    rig = make_rig("fail the Nth call of every client of the worker", **STALL)
    plan = start(rig, "infer", tmp_path)
    harm(rig, "infer", plan, (*INFER, *INFER_REDIS))


@pytest.mark.timeout(600)
def test_worker_exactly_once(make_rig: RigMaker, tmp_path: Path) -> None:
    rig = make_rig(
        "fail the Nth call of every client of the worker (exactly once)",
        SIGHTLINE_INFER__DELIVERY="exactly_once",
        SIGHTLINE_INFER__TRANSACTIONAL_ID="worker-0",
        **STALL,
    )
    plan = start(rig, "infer", tmp_path)
    harm(rig, "infer", plan, TRANSACTIONS)
    assert rig.ledger is not None
    assert rig.ledger.duplicates == 0


def start(rig: Rig, stage: str, folder: Path) -> Plan:
    """Start both stages; the one under test runs with the failing clients of the launcher."""
    command = (sys.executable, "-m", "tests.faults.launcher", str(folder))
    for name in ("stream", "infer"):
        rig.keep(name, name, "--model", "null", ready=False, command=command if name == stage else COMMAND)
    rig.wait_ready()
    return Plan(folder)


def harm(rig: Rig, stage: str, plan: Plan, points: tuple[str, ...]) -> None:
    rig.send(rate_per_s=40, repeat_share=0.3)
    rig.wait_flowing()
    for point in points:
        # The process that the failure before may have ended runs again, so that this point gets its full time.
        plan.arm("")
        rig.keepers[stage].wait_ready()
        plan.arm(point)
        if not wait_fired(rig, plan, point, POINT_S) or point == AT_THE_START_TOO:
            # This point is called at the start only, as `subscribe` is.
            rig.keepers[stage].kill()
            wait_fired(rig, plan, point, START_S)
        print(f"{stage} {point}: failed {plan.fired(point)} times, {rig.keepers[stage].restarts} restarts so far")
    plan.arm("")
    rig.harm_is_over()
    rig.keepers[stage].wait_ready()
    rig.wait_flowing()
    rig.settle()
    silent = [point for point in points if not plan.fired(point)]
    assert not silent, f"never called, so never failed: {silent}"


def wait_fired(rig: Rig, plan: Plan, point: str, first_s: float) -> int:
    """Wait for the first failure, then some time for more; returns how many there were."""
    until_s = time.monotonic() + first_s
    while not plan.fired(point) and time.monotonic() < until_s:
        rig.wait(0.1)
    until_s = time.monotonic() + POINT_S
    while 0 < plan.fired(point) < FAILURES and time.monotonic() < until_s:
        rig.wait(0.1)
    return plan.fired(point)
