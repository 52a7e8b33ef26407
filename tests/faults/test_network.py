"""Connections between clients and brokers are slow, drop data, or break."""

import pytest

from infra.kafka.topics import group
from tests.faults.conftest import RigMaker


def test_delay(make_rig: RigMaker) -> None:
    rig = make_rig("a network that delays: 200 ms and up to 200 ms more, 10 s")
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait(3.0)
    for line in rig.cluster.broker_lines.values():
        line.delay(0.1, 0.1)
    rig.wait(10.0)
    for line in rig.cluster.broker_lines.values():
        line.restore()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.settle()


def test_drop_one_broker(make_rig: RigMaker) -> None:
    """Connections stay open but carry no data; the broker itself is healthy and remains leader."""
    rig = make_rig("a network that drops everything to one broker, 15 s")
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait(3.0)
    line = rig.cluster.broker_lines[rig.cluster.leader(rig.deployed.topics.frames, 0)]
    line.hold()
    rig.wait(15.0)
    line.restore()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.settle()


@pytest.mark.parametrize("kind", ["stream", "infer"])
def test_drop_coordinator(make_rig: RigMaker, kind: str) -> None:
    """Frames are still read and processed but nothing can be committed: the watchdog ends the process and says why."""
    stall_ms = 10_000
    rig = make_rig(
        f"a network that drops everything to the coordinator of the {kind} group, 25 s",
        **{f"SIGHTLINE_{kind.upper()}__STALL_TIMEOUT_MS": str(stall_ms)},
    )
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait_flowing()
    line = rig.cluster.broker_lines[rig.cluster.group_coordinator(group(kind, rig.deployed.prefix))]
    line.hold()
    rig.wait(2.5 * stall_ms / 1000)
    line.restore()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.settle()
    first_end = rig.keepers[kind].ended_by_itself[0]
    assert "nothing was committed for" in first_end.stderr.strip().splitlines()[-1]


def test_drop_all(make_rig: RigMaker) -> None:
    rig = make_rig("a network that drops everything, 15 s")
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait(3.0)
    for line in rig.cluster.broker_lines.values():
        line.hold()
    rig.wait(15.0)
    for line in rig.cluster.broker_lines.values():
        line.restore()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.settle()


def test_cut(make_rig: RigMaker) -> None:
    rig = make_rig("connections are reset at random, for 15 s")
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait(3.0)
    for _ in range(30):
        rig.rng.choice(list(rig.cluster.broker_lines.values())).cut(0.5)
        rig.wait(0.5)
    rig.harm_is_over()
    rig.wait_flowing()
    rig.settle()


def test_refuse(make_rig: RigMaker) -> None:
    rig = make_rig("brokers refuse connections, one after the other")
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait(3.0)
    for line in rig.cluster.broker_lines.values():
        line.refuse()
        rig.wait(4.0)
        line.restore()
        rig.wait(1.0)
    rig.harm_is_over()
    rig.wait_flowing()
    rig.settle()
