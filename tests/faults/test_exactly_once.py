"""Labels and offsets in one transaction: whatever kills the worker, a read_committed reader sees each label once."""

import signal

import pytest

from infra.kafka.topics import group
from tests.faults.conftest import RigMaker

KILLS, COORDINATOR_KILLS = 20, 4


@pytest.mark.timeout(600)
def test_worker_killed_at_random(make_rig: RigMaker) -> None:
    rig = make_rig(
        f"exactly once, kill -9 of the worker at random, {KILLS} times", SIGHTLINE_INFER__DELIVERY="exactly_once"
    )
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait_flowing()
    for _ in range(KILLS):
        rig.wait(rig.rng.uniform(0.2, 2.0))
        rig.infer.kill()
        rig.wait(0.1)
        rig.infer.wait_ready()
    rig.harm_is_over()
    rig.wait_flowing()
    ledger = rig.settle()
    assert rig.infer.restarts >= KILLS
    assert ledger.duplicates == 0
    assert ledger.labels == ledger.written


def test_two_workers_one_frozen(make_rig: RigMaker) -> None:
    """The frozen worker wakes up with a transaction that is ready to commit, and the broker fences it."""
    rig = make_rig("exactly once, SIGSTOP of one of two workers for 20 s", SIGHTLINE_INFER__DELIVERY="exactly_once")
    rig.start_stages()
    rig.keep("infer-2", "infer", "--model", "null")
    rig.send(rate_per_s=50)
    rig.wait(3.0)
    rig.infer.signal(signal.SIGSTOP)
    rig.harm_is_over()
    rig.wait_flowing()
    rig.wait(20.0)
    rig.infer.signal(signal.SIGCONT)
    rig.wait(5.0)
    ledger = rig.settle()
    assert ledger.duplicates == rig.reading.repeats_in_batches() == 0


def test_group_coordinator_killed(make_rig: RigMaker) -> None:
    """librdkafka can wait for ever for a dead coordinator's answer; the worker must recover without a restart."""
    rig = make_rig(
        f"exactly once, kill -9 of the group's coordinator, {COORDINATOR_KILLS} times",
        SIGHTLINE_INFER__DELIVERY="exactly_once",
    )
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait_flowing()
    for _ in range(COORDINATOR_KILLS):
        broker = rig.cluster.group_coordinator(group("infer", rig.deployed.prefix))
        rig.cluster.kafka.kill_broker(broker)
        rig.harm_is_over()
        rig.wait_flowing(timeout_s=30.0)
        rig.cluster.start_broker(broker)
        rig.cluster.wait_in_sync()
    ledger = rig.settle()
    assert rig.infer.restarts == 0
    assert ledger.duplicates == rig.reading.repeats_in_batches()


def test_brokers_killed(make_rig: RigMaker) -> None:
    rig = make_rig("exactly once, kill -9 of each broker in turn", SIGHTLINE_INFER__DELIVERY="exactly_once")
    rig.start_stages()
    rig.send(rate_per_s=50)
    for broker in rig.cluster.broker_lines:
        rig.wait(3.0)
        rig.cluster.kafka.kill_broker(broker)
        rig.wait(4.0)
        rig.cluster.start_broker(broker)
        rig.cluster.wait_in_sync()
    rig.harm_is_over()
    rig.wait_flowing()
    ledger = rig.settle()
    # The stream stage works at least once: only a frame that it wrote into two micro-batches may be labelled twice.
    assert ledger.duplicates == rig.reading.repeats_in_batches()
