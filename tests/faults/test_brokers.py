"""Brokers are killed, all at once or the one whose loss hurts most."""

from tests.faults.conftest import RigMaker

LEADER_BACK_S = 5.0


def test_kill_partition_leader(make_rig: RigMaker) -> None:
    """The broker stays down until frames flow without it, because two of three replicas are enough.

    The broker is not the active controller as well: that costs one more election, see the case below.
    """
    rig = make_rig("kill -9 of a partition leader")
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait(4.0)
    leader = rig.cluster.led_by_no_controller(rig.deployed.topics.frames)
    rig.cluster.kafka.kill_broker(leader)
    rig.harm_is_over()
    rig.wait_flowing()
    recover_s = rig.recover_s()
    rig.wait(3.0)
    rig.cluster.start_broker(leader)
    rig.wait(3.0)
    rig.settle()
    assert recover_s is not None
    assert recover_s <= LEADER_BACK_S


def test_kill_controller(make_rig: RigMaker) -> None:
    rig = make_rig("kill -9 of the controller")
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait(4.0)
    controller = rig.cluster.controller()
    rig.cluster.kafka.kill_broker(controller)
    rig.harm_is_over()
    rig.wait_flowing()
    rig.wait(3.0)
    rig.cluster.start_broker(controller)
    rig.wait(3.0)
    rig.settle()


def test_kill_each_broker_in_turn(make_rig: RigMaker) -> None:
    rig = make_rig("kill -9 of each broker in turn")
    rig.start_stages()
    rig.send(rate_per_s=50)
    for broker in rig.cluster.broker_lines:
        rig.wait(3.0)
        rig.cluster.kafka.kill_broker(broker)
        rig.wait(3.0)
        rig.cluster.start_broker(broker)
        rig.cluster.wait_in_sync()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.settle()


def test_all_brokers_killed(make_rig: RigMaker) -> None:
    rig = make_rig("kill -9 of all brokers at once, back after 10 s")
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait(4.0)
    for broker in rig.cluster.broker_lines:
        rig.cluster.kafka.kill_broker(broker)
    rig.wait(10.0)
    rig.cluster.heal()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.settle()


def test_brokers_restarted(make_rig: RigMaker) -> None:
    """A rollout of Kafka: each broker gets SIGTERM in turn, the next one when all replicas are in sync."""
    rig = make_rig("rolling restart of all brokers")
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait(3.0)
    for broker in rig.cluster.broker_lines:
        rig.cluster.kafka.stop_broker(broker, timeout_s=30.0)
        rig.cluster.start_broker(broker)
        rig.cluster.wait_in_sync()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.settle()
